"""The jobs of a daemon that was killed, before its successor is ready."""

from __future__ import annotations

from tests.support.waiting import wait_until


def test_after_a_kill_of_the_daemon_its_jobs_are_free_while_the_handlers_are_still_imported(make, jobs, short_tmp):
    go, mark, until = (short_tmp / name for name in ("go", "mark", "until"))
    (short_tmp / "held_import.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.01)\n"
        "from daemon_handlers import slow as run\n"
    )
    daemon = make('[queues.a]\nhandler = "held_import:run"\nlock_duration = "60s"\n', ready=False)
    daemon.config.write_text(daemon.config.read_text().replace('path = ["', f'path = ["{short_tmp}", "', 1))
    go.touch()
    daemon.start_ready()
    a = jobs("a")
    job = a.add({"mark": str(mark), "until": str(until)})
    wait_until(mark.exists, 20, what="it runs")
    daemon.kill()
    go.unlink()
    daemon.start()
    wait_until(lambda: a.state(job) == "waiting", 20, what="another host may take it")
    assert daemon.status()["state"] == "starting"
    go.touch()
    until.touch()
    assert a.result(job, 20) == "slow"
