"""What `wrap` names: what gives no context manager is refused at the import, or named when a job meets it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from jobd.errors import HandlerError
from jobd.worker.handlers.job import Job
from jobd.worker.handlers.wraps import load_wraps, wrap_async, wrap_sync

SOURCE = """
import contextlib

def forgotten(): yield
async def aforgotten(job): yield
number = 7

def gives_number(): return 7

@contextlib.contextmanager
def plain(job):
    seen.append("in")
    yield
    seen.append("out")

@contextlib.asynccontextmanager
async def on_loop():
    yield

def hidden(): return on_loop()

seen = []
"""


@pytest.fixture(autouse=True)
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "appwraps.py").write_text(SOURCE)
    yield
    sys.modules.pop("appwraps", None)


def a_job() -> Job:
    return cast("Job", object())


@pytest.mark.parametrize(
    ("name", "decorator"),
    [("forgotten", "@contextlib.contextmanager"), ("aforgotten", "@contextlib.asynccontextmanager")],
)
def test_a_generator_without_its_decorator_is_refused_with_the_decorators_name(name: str, decorator: str) -> None:
    with pytest.raises(HandlerError) as caught:
        load_wraps([f"appwraps:{name}"])
    assert (caught.value.kind, decorator in str(caught.value)) == ("signature", True)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(HandlerError, match="cannot be called"):
        load_wraps(["appwraps:number"])


def test_a_context_manager_is_entered_around_the_handler_of_either_kind() -> None:
    wraps = load_wraps(["appwraps:plain"])
    seen: list[str] = sys.modules["appwraps"].seen

    async def handler(job: Job) -> Any:
        seen.append("ran")

    wrap_sync(lambda job: seen.append("ran"), wraps)(a_job())
    asyncio.run(cast("Any", wrap_async(handler, wraps)(a_job())))
    assert seen == ["in", "ran", "out"] * 2


@pytest.mark.parametrize(("name", "told"), [("gives_number", "type int"), ("hidden", "asynchronous")])
def test_a_wrap_that_gives_something_else_is_named(name: str, told: str) -> None:
    call = wrap_sync(lambda job: job, load_wraps([f"appwraps:{name}"]))
    with pytest.raises(TypeError, match=rf'wrap "appwraps:{name}" gives .*{told}'):
        call(a_job())


def test_a_wrap_that_gives_something_else_is_named_on_the_loop_too() -> None:
    async def handler(job: Job) -> Any:
        raise AssertionError("it ran outside of its wrap")

    call = wrap_async(handler, load_wraps(["appwraps:gives_number"]))
    with pytest.raises(TypeError, match='wrap "appwraps:gives_number" gives no context manager'):
        asyncio.run(cast("Any", call(a_job())))
