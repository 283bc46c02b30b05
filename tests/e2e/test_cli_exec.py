"""`jobd exec` and `jobd check`: user code in a process of its own, no daemon, no Redis."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.snapshot import snapshot
from tests.support.waiting import wait_until

_JOBS = """
import contextlib, os, sys
from jobd import Job, RetryLater, Unrecoverable

def welcome(job: Job) -> dict:
    print("printed")
    os.system("echo from a child")
    job.progress({"percent": 50})
    job.log("half way")
    return {"name": job.name, "data": job.data, "attempt": job.attempt, "key": os.environ.get("API_KEY")}

async def wait(job):
    import asyncio
    await asyncio.sleep(0)
    return os.environ["ORDER"]

def members(*, user_id: int):
    return user_id

def fail(job):
    raise ValueError("no such user")

def later(job):
    raise RetryLater("30s")

def half(job):
    return "\\ud800 \\u00e9"

def chain(job):
    handle = job.add("other", "next", {"n": 1})
    return [handle.queue]

def leave(job):
    sys.exit(3)

def bad(job):
    return {1, 2}

def setup():
    os.environ["ORDER"] = "setup"

async def teardown():
    print("teardown")

@contextlib.contextmanager
def wrapped():
    os.environ["ORDER"] += " wrap"
    yield
"""

_CONFIG = """
[app]
path = ["."]
env = { API_KEY = { env = "SECRET_KEY" } }
[redis]
url = "redis://user:hunter2@127.0.0.1:1/0"
[queues.email.jobs]
welcome = "jobs:welcome"
members = "jobs:members"
fail = "jobs:fail"
later = "jobs:later"
leave = "jobs:leave"
bad = "jobs:bad"
half = "jobs:half"
chain = "jobs:chain"
[queues.any]
handler = "jobs:wait"
setup = "jobs:setup"
teardown = "jobs:teardown"
wrap = ["jobs:wrapped"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(_JOBS)
    (tmp_path / "jobd.toml").write_text(_CONFIG)
    return tmp_path


def _jobd(home: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "SECRET_KEY": "s3cret", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-m", "jobd", *words], cwd=home, env=env, input=stdin, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_exec_prints_the_result_alone_on_stdout(home: Path) -> None:
    done = _jobd(home, "exec", "email", "welcome", "-", stdin='{"userId": 7}')
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"name": "welcome", "data": {"userId": 7}, "attempt": 1, "key": "s3cret"}
    for line in ("printed", "from a child", 'progress {"percent":50}', "log half way"):
        assert line in done.stderr.splitlines()


def test_exec_honours_setup_wrap_and_async(home: Path) -> None:
    done = _jobd(home, "exec", "any", "whatever", "--json")
    assert json.loads(done.stdout) == {"schema": 1, "outcome": "completed", "result": "setup wrap"}
    assert "teardown" in done.stderr


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [("fail", "{}", "ValueError: no such user"), ("later", "{}", "run again after 30s"), ("leave", "{}", "SystemExit"),
     ("bad", "{}", "set"), ("members", '{"user_id": "x"}', "user_id")],
)  # fmt: skip
def test_a_job_that_does_not_complete_is_exit_1(name: str, data: str, told: str, home: Path) -> None:
    done = _jobd(home, "exec", "email", name, data)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "jobd/cli" not in done.stderr
    document = json.loads(_jobd(home, "exec", "email", name, data, "--json").stdout)
    assert document["error"]["code"] == "job-failed"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os; print('no licence', flush=True); os._exit(7)", "ended its process: exit code 7"),
        ("import os; os._exit(0)", "ended its process: exit code 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended its process: signal 9 (SIGKILL)"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import json; json.dumps = None", "replaced json.dumps"),
        ("import json; json.loads = lambda text: {}; print(1 / 0)", "ZeroDivisionError"),
    ],
)
def test_a_module_that_ends_or_breaks_its_process_is_named_with_exit_78(source: str, told: str, home: Path) -> None:
    (home / "rude.py").write_text(f"{source}\ndef handle(job): pass\n")
    (home / "jobd.toml").write_text(_CONFIG + 'on_failed = "jobs:fail"\n[queues]\nrude = "rude:handle"\n')
    done = _jobd(home, "exec", "rude", "x")
    assert (done.returncode, done.stdout) == (78, "")
    assert "Traceback" not in done.stderr
    *printed, line = done.stderr.splitlines()
    assert printed == (["no licence"] if "licence" in source else [])
    assert line.startswith("error: cannot") and '"rude:handle"' in line and told in line
    assert _jobd(home, "exec", "any", "whatever").returncode == 0


@pytest.mark.parametrize(
    ("does", "told"),
    [("os._exit(0)", "exit code 0"), ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
     ("__import__('ctypes').string_at(0)", "signal 11 (SIGSEGV)")],
)  # fmt: skip
def test_a_handler_that_ends_its_process_is_told_with_exit_1(does: str, told: str, home: Path) -> None:
    (home / "rude.py").write_text(f"import os\n\ndef handle(job):\n    {does}\n")
    (home / "jobd.toml").write_text(_CONFIG + '[queues]\nrude = "rude:handle"\n')
    done = _jobd(home, "exec", "rude", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"error: the process ended during the run of the job: {told}"
    # A crash in C says where.
    assert ('rude.py", line 4 in handle' in done.stderr) == ("SEGV" in told)
    error = json.loads(_jobd(home, "exec", "rude", "x", "--json").stdout)["error"]
    assert (error["code"], error["detail"]) == ("job-failed", {"outcome": "crashed"})


def test_a_handler_s_module_is_imported_once(home: Path) -> None:
    (home / "slow.py").write_text("open('imports', 'a').write('.')\ndef handle(job):\n    return 1\n")
    (home / "jobd.toml").write_text(_CONFIG + '[queues]\nslow = "slow:handle"\n')
    assert _jobd(home, "exec", "slow", "x").returncode == 0
    assert (home / "imports").read_text() == "."


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
@pytest.mark.parametrize("to_all", [True, False], ids=["group", "process"])
def test_a_signal_ends_exec_and_its_handler(number: int, code: int, to_all: bool, home: Path) -> None:
    (home / "long.py").write_text(
        "import os, pathlib, time\ndef handle(job):\n    pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "    time.sleep(300)\n"
    )
    (home / "jobd.toml").write_text(_CONFIG + '[queues]\nlong = "long:handle"\n')
    env = {**os.environ, "SECRET_KEY": "x", "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "jobd", "exec", "long", "x"]
    # Whoever runs the tests in the background has SIGINT ignored; a terminal has not.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(words, cwd=home, env=env, start_new_session=True, stderr=subprocess.DEVNULL)
    signal.signal(signal.SIGINT, ignored)
    try:
        pid = wait_until(lambda: (home / "pid").exists() and (home / "pid").read_text(), 30, what="the handler runs")
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.wait(30) == code
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, what="its process is gone")
    finally:
        process.kill()


def test_the_traceback_begins_in_the_handler(home: Path) -> None:
    done = _jobd(home, "exec", "email", "fail")
    assert done.stderr.splitlines()[:2] == ["Traceback (most recent call last):",
                                            f'  File "{home}/jobs.py", line 21, in fail']  # fmt: skip


@pytest.mark.parametrize(("words", "known"), [(("nope", "x"), "any, email"), (("email", "nope"), "welcome")])
def test_an_unknown_queue_or_name_is_told_with_the_known_ones(words: tuple[str, str], known: str, home: Path) -> None:
    done = _jobd(home, "exec", *words)
    assert done.returncode == 1
    assert known in done.stderr


def test_the_debugger_opens_where_the_handler_raised(home: Path) -> None:
    done = _jobd(home, "exec", "email", "fail", "--pdb", stdin="p job.name\nq\n")
    assert done.returncode == 1
    assert "'fail'" in done.stdout


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_the_data_of_a_failed_job_is_tried_again_and_nothing_is_written(
    size: int, make: Callable[..., DaemonProcess], jobs: Callable[..., Jobs], r: redis.Redis, prefix: str
) -> None:
    # Nothing of the queue's keys changes by itself: no metrics, and no look for stalled jobs.
    daemon = make('[queues.email]\nhandler = "daemon_handlers:fails"\nmetrics = false\nstalled_interval = "1h"\n')
    queue = jobs("email")
    job_id = queue.add({"text": "x" * size}, "welcome")
    wait_until(lambda: queue.state(job_id) == "failed", 20, what="the job failed")
    (daemon.folder / "jobs.py").write_text("def count(job):\n    return [job.id, len(job.data['text'])]\n")
    daemon.config.write_text(daemon.config.read_text().replace("daemon_handlers:fails", "jobs:count"))
    daemon.config.write_text(daemon.config.read_text().replace("[app]\npath = [", '[app]\npath = [".", '))
    before = snapshot(r, f"{prefix}:email:")
    done = _jobd(daemon.folder, "exec", "email", "welcome", "--job", job_id)
    assert (done.returncode, done.stdout) == (0, f'["{job_id}", {size}]\n'), done.stderr
    assert snapshot(r, f"{prefix}:email:") == before


def test_check_lists_what_would_run_and_shows_no_secret(home: Path) -> None:
    done = _jobd(home, "check")
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "redis://user:***@127.0.0.1:1/0" in done.stdout
    document = json.loads(_jobd(home, "check", "--json").stdout)
    handlers = {queue["name"]: queue["handlers"] for queue in document["queues"]}
    assert handlers["any"] == [{"job": None, "handler": "jobs:wait", "mode": "async"}]
    assert {"job": "fail", "handler": "jobs:fail", "mode": "thread"} in handlers["email"]
    assert any("keep_" in warning for warning in document["warnings"])


def test_check_names_the_module_that_ends_the_process_it_is_imported_in(home: Path) -> None:
    (home / "crashing.py").write_text("import os\nos._exit(7)\n")
    (home / "bad.toml").write_text('[redis]\nurl = "redis://127.0.0.1"\n[queues]\nemail = "crashing:send"\n')
    done = _jobd(home, "check", "bad.toml")
    assert done.returncode == 78
    assert "it ended while it imported crashing: exit code 7" in done.stderr


def test_check_places_every_problem_also_those_of_imports(home: Path) -> None:
    (home / "bad.toml").write_text(
        '[redis]\nurl = "redis://127.0.0.1"\n[queues.email]\nhandler = "jobs:welcom"\nconcurency = 8\n'
        '[queues.video]\nhandler = "shop.video:cut"\n[queues.ok]\nhandler = "jobs:fail"\n'
    )
    done = _jobd(home, "check", "bad.toml")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("error: 3 problems in bad.toml\n")
    for place in ("bad.toml:4:12  cannot import `jobs:welcom`", "bad.toml:5:1   unknown key `concurency`",
                  "bad.toml:7:12  cannot import `shop.video:cut`"):  # fmt: skip
        assert place in done.stderr
    document = json.loads(_jobd(home, "check", "bad.toml", "--json").stdout)
    assert document["error"]["code"] == "config-invalid"
    assert len(document["error"]["detail"]["problems"]) == 3
    ran = _jobd(home, "run", "--config", "bad.toml")
    assert (ran.returncode, ran.stderr) == (78, done.stderr)


def test_check_reads_secrets_only_when_asked(home: Path) -> None:
    config = (home / "jobd.toml").read_text().replace('env = "SECRET_KEY"', 'file = "not/there"')
    (home / "jobd.toml").write_text(config)
    assert _jobd(home, "check").returncode == 0
    done = _jobd(home, "check", "--resolve")
    assert done.returncode == 78
    assert "not/there" in done.stderr
    ran = _jobd(home, "run")
    assert ran.returncode == 78
    assert re.search(r"jobd\.toml:\d+:\d+  cannot read secret file", ran.stderr)


def test_config_show_tells_where_a_value_comes_from(home: Path) -> None:
    done = _jobd(home, "config", "show", "--origin")
    assert "hunter2" not in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("redis.url"))
    assert line.endswith("# jobd.toml:6:8")
    assert "hunter2" not in _jobd(home, "config", "show").stdout


def test_async_wrap_is_entered_around_a_plain_handler(home: Path) -> None:
    (home / "extra.py").write_text(
        "import contextlib\n@contextlib.asynccontextmanager\nasync def awrapped():\n    print('entered')\n    yield\n"
    )
    text = (home / "jobd.toml").read_text()
    (home / "jobd.toml").write_text(text.replace("[redis]", 'wrap = ["extra:awrapped"]\n[redis]', 1))
    done = _jobd(home, "exec", "email", "half")
    assert done.returncode == 0, done.stderr
    assert "entered" in done.stderr


def test_import_error_is_exit_78(home: Path) -> None:
    (home / "jobs.py").write_text("import nothing_of_that_name\n")
    done = _jobd(home, "exec", "email", "fail")
    assert done.returncode == 78
    assert "No module named 'nothing_of_that_name'" in done.stderr


def test_what_a_handler_adds_is_told_and_not_added(home: Path) -> None:
    done = _jobd(home, "exec", "email", "chain")
    assert (done.returncode, json.loads(done.stdout)[0]) == (0, "other")
    assert 'not added: queue other, name next, data {"n":1}' in done.stderr


def test_result_with_half_a_surrogate_pair_can_be_read_by_jq(home: Path) -> None:
    for options in ((), ("--json",)):
        done = _jobd(home, "exec", "email", "half", *options)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["result"] if options else found) == "\ufffd \u00e9"
        assert "\\ud800" not in done.stdout
