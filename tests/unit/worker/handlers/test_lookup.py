from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.errors import HandlerError
from jobd.protocol.worker import Mode
from jobd.worker.handlers.lookup import load_handler

SOURCE = """
import asyncio, functools, inspect
from jobd import Job

def plain(job): return "plain"
async def coro(job): return "coro"

def decorated_by(function):
    @functools.wraps(function)
    def wrapper(*args): return function(*args)
    return wrapper

@decorated_by
async def decorated(job): return "decorated"

@functools.wraps(coro)
def runs_loop(job): return asyncio.run(coro(job))

def returns_coro(job): return coro(job)
def annotated(job) -> "Awaitable[str]": return somewhere(job)

@functools.wraps(plain)
def marked(job):
    return coro(job)
marked._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)
if hasattr(inspect, "markcoroutinefunction"):
    inspect.markcoroutinefunction(marked)

class Mailer:
    def __call__(self, job): return "mailer"
    def method(self, job): return "method"
    async def amethod(self, job): return "amethod"

class AsyncMailer:
    async def __call__(self, job): return "async mailer"

class Needy:
    def __init__(self, dsn): pass
    def __call__(self, job): pass

class NoCall: pass

mailer = Mailer()
part = functools.partial(lambda prefix, job: prefix, "part")
apart = functools.partial(coro)
number = 7
def nothing(): pass
def three(a, b, c): pass
def gen(job): yield 1
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "apphandlers.py").write_text(SOURCE)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("apphandlers", "broken", "leaving", "wants", "oops")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("attribute", "mode"),
    [
        ("plain", "thread"), ("coro", "async"), ("decorated", "async"), ("Mailer", "thread"),
        ("AsyncMailer", "async"), ("mailer", "thread"), ("mailer.method", "thread"), ("mailer.amethod", "async"),
        ("part", "thread"), ("apart", "async"), ("runs_loop", "thread"), ("marked", "async"),
    ],
)  # fmt: skip
def test_mode_follows_the_kind_of_function(app: Path, attribute: str, mode: str) -> None:
    assert load_handler(f"apphandlers:{attribute}").mode == mode


def refused(path: str, **more: object) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        load_handler(path, **more)  # type: ignore[arg-type]
    return caught.value


def test_missing_module_names_the_folders_searched(app: Path) -> None:
    error = refused("nowhere.tasks:send", searched=["/srv/shop"])
    assert error.kind == "import"
    assert "ModuleNotFoundError: No module named 'nowhere'" in str(error)
    assert error.detail["searched"] == ["/srv/shop"]


def test_a_folder_that_is_not_there_is_told(app: Path) -> None:
    text = str(refused("nowhere:send", searched=[str(app), "~/code"]))
    assert text.endswith(f"searched: {app}, ~/code (no such folder)")


def test_a_file_name_in_place_of_a_module_is_understood(app: Path) -> None:
    error = refused("apphandlers.py:plain", searched=[str(app)])
    assert str(error).endswith("did you mean apphandlers?")


def test_missing_module_suggests_the_nearest(app: Path) -> None:
    assert refused("apphandler:plain", searched=[str(app)]).detail["suggestion"] == "apphandlers"


def test_module_missing_inside_the_imported_one_is_told_apart_with_its_line(app: Path) -> None:
    (app / "broken.py").write_text("x = 1\nimport nosuchlibrary\n")
    error = refused("broken:send")
    assert error.kind == "import"
    assert "No module named 'nosuchlibrary'" in str(error)
    assert "broken.py:2" in str(error)


def test_error_in_the_module_names_its_line(app: Path) -> None:
    (app / "oops.py").write_text("\n\n1 / 0\n")
    assert "ZeroDivisionError" in str(refused("oops:send"))
    assert "oops.py:3" in str(refused("oops:send"))


def test_syntax_error_names_its_line(app: Path) -> None:
    (app / "oops.py").write_text("x = 1\ndef (\n")
    assert "oops.py:2" in str(refused("oops:send"))


def test_module_that_exits_is_an_error_not_an_exit(app: Path) -> None:
    (app / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    assert "SystemExit: 3" in str(refused("leaving:send"))


def test_missing_attribute_suggests_the_nearest(app: Path) -> None:
    error = refused("apphandlers:plaim")
    assert (error.kind, error.detail["suggestion"]) == ("attribute", "plain")
    assert "did you mean `plain`?" in str(error)


@pytest.mark.parametrize("attribute", ["number", "NoCall", "Needy", "nothing", "three", "gen"])
def test_what_cannot_be_called_as_a_handler_is_a_signature_error(app: Path, attribute: str) -> None:
    assert refused(f"apphandlers:{attribute}").kind == "signature"


@pytest.mark.parametrize("attribute", ["plain", "Mailer", "part", "runs_loop", "mailer.method"])
def test_plain_function_that_can_give_no_awaitable_is_refused_in_mode_async(app: Path, attribute: str) -> None:
    error = refused(f"apphandlers:{attribute}", mode="async")
    assert error.kind == "mode"
    assert "awaitable" in str(error)


@pytest.mark.parametrize("attribute", ["returns_coro", "annotated", "decorated", "marked"])
def test_plain_function_that_may_give_an_awaitable_is_taken_in_mode_async(app: Path, attribute: str) -> None:
    assert load_handler(f"apphandlers:{attribute}", "async").mode == "async"


@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("attribute", ["coro", "decorated", "marked"])
def test_explicit_mode_wins_over_an_async_def(app: Path, attribute: str, mode: Mode) -> None:
    handler = load_handler(f"apphandlers:{attribute}", mode)
    assert handler.mode == mode
    assert handler.call(None) == attribute if attribute != "marked" else True  # type: ignore[arg-type]


def test_mode_process_takes_a_plain_function(app: Path) -> None:
    assert load_handler("apphandlers:plain", "process").mode == "process"


@pytest.mark.parametrize("path", ["noattribute", "a:b:c", ":x", "a b:c", "a:", ""])
def test_text_that_is_no_path_is_refused(path: str) -> None:
    assert "write it as package.module:function" in str(refused(path))


@pytest.mark.parametrize("name", ["dumps", "loads"])
def test_a_module_that_breaks_json_is_refused_and_json_works_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"breaks_{name}.py").write_text(f"import json\njson.{name} = None\ndef handle(job): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HandlerError, match=f"importing breaks_{name} replaced json.{name}"):
        load_handler(f"breaks_{name}:handle")
    assert json.loads(json.dumps([1])) == [1]


def test_another_json_that_does_the_same_is_left_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import json\n_plain = json.dumps\njson.dumps = lambda *a, **k: _plain(*a, **k)\ndef handle(job): pass\n"
    (tmp_path / "faster_json.py").write_text(source)
    monkeypatch.setattr(json, "dumps", json.dumps)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_handler("faster_json:handle").mode == "thread"
    assert json.dumps.__module__ == "faster_json"
