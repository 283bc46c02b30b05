"""`loop = "uvloop"`: workers run on it; where it is missing, `check` names the extra."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.waiting import wait_until

HANDLERS = """
import asyncio, os, signal, subprocess, sys


async def which(job):
    return type(asyncio.get_running_loop()).__module__


async def program(job):  # a child of the loop's own, and one by fork and exec
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(6 * 7)", stdout=subprocess.PIPE)
    out, _ = await child.communicate()
    return [int(out), subprocess.run(["sh", "-c", "exit 3"]).returncode]


def forked(job):  # a child that shares nothing with the worker, and ends by TERM
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(9)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def for_ever(job):
    await asyncio.Event().wait()


async def kills(job):
    os.kill(os.getpid(), signal.SIGKILL)


async def leaves(job):  # a task that raises through the loop ends itself, not the worker
    async def out():
        raise SystemExit(3)

    asyncio.get_running_loop().create_task(out())
    await asyncio.sleep(0.05)
    return "still here"
"""
QUEUE = """
[queues.a]
handler = "uv_handlers:which"
loop = "{loop}"
{more}
concurrency = 4
max_crashes = 0
breaker = false
[queues.a.jobs]
program = "uv_handlers:program"
forked = "uv_handlers:forked"
kills = "uv_handlers:kills"
leaves = "uv_handlers:leaves"
for_ever = {{ handler = "uv_handlers:for_ever", timeout = "300ms" }}
"""


def test_a_worker_on_uvloop_runs_ends_and_dies_as_on_asyncio(make, jobs, short_tmp):
    (short_tmp / "uv_handlers.py").write_text(HANDLERS)
    more = f'path = ["{short_tmp}"]'
    daemon = make(QUEUE.format(loop="asyncio", more=more))
    a = jobs("a")
    assert a.result(a.add()).startswith("asyncio.")
    (pid,) = daemon.worker_pids("a")
    assert daemon.call("worker.show", pid=pid)["loop"] == "asyncio"

    daemon.write(QUEUE.format(loop="uvloop", more=more))
    daemon.call("reload")
    (pid,) = wait_until(lambda: [one for one in daemon.worker_pids("a") if one != pid])
    assert daemon.call("worker.show", pid=pid)["loop"] == "uvloop"
    assert a.result(a.add()).startswith("uvloop")
    assert a.result(a.add(name="program")) == [42, 3]
    assert a.result(a.add(name="forked")) == -15
    assert a.result(a.add(name="leaves")) == "still here"
    assert daemon.worker_pids("a") == [pid]
    late, killed = a.add(name="for_ever"), a.add(name="kills")
    assert "SIGKILL" in a.wait_state(killed, "failed")["failedReason"]
    wait_until(lambda: a.state(late) in ("failed", "active"))
    assert a.result(a.add()).startswith("uvloop")
    (pid,) = daemon.worker_pids("a")
    late = a.add(name="for_ever")
    assert "300ms" in a.wait_state(late, "failed")["failedReason"]
    assert daemon.worker_pids("a") == [pid]


def test_where_uvloop_is_missing_check_names_the_key_and_the_extra(tmp_path):
    (tmp_path / "uvloop.py").write_text("raise ModuleNotFoundError(\"no module named 'uvloop'\", name='uvloop')")
    (tmp_path / "shop.py").write_text("async def send(job): ...")
    (tmp_path / "jobd.toml").write_text(
        '[redis]\nembedded = true\n[queues.a]\nhandler = "shop:send"\nloop = "uvloop"\n'
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith("JOBD_")}
    done = subprocess.run(
        [sys.executable, "-m", "jobd", "check"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "jobd.toml:5:9   cannot import uvloop" in done.stderr
    assert "no module named" in done.stderr.lower()
    assert "pip install '.[daemon,embedded,uvloop]'" in done.stderr
