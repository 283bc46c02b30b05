"""`workers = { min, max, target_wait }` on a real queue."""

from __future__ import annotations

import time

from jobd.daemon.processes.autoscale import CALM_S
from tests.support.waiting import wait_until

QUEUE = '[queues.a]\nhandler = "daemon_handlers:slow"\nworkers = { min = 1, max = 3, target_wait = "1s" }\n'


def test_a_queue_whose_jobs_wait_grows_to_its_maximum_and_says_why(make, jobs, short_tmp):
    daemon, queue, until = make(QUEUE), jobs("a"), short_tmp / "until"
    assert len(daemon.worker_pids("a")) == 1
    added = [queue.add({"until": str(until)}) for _ in range(12)]
    wait_until(lambda: len(daemon.worker_pids("a")) == 3, 30)
    note = daemon.queue("a")["note"]
    assert note.startswith("3 of 1 to 3 workers: the oldest job waits ")
    assert note.endswith("(target 1s)")
    assert daemon.status()["drift"] == []
    steps = [(line["was"], line["workers"]) for line in daemon.logged("autoscaled")]
    assert steps == [(1, 2), (2, 3)]
    daemon.call("queue.scale", queue="a", to="1")
    (drift,) = daemon.status()["drift"]
    assert drift.startswith('a scaled { min = 1, max = 3, target_wait = "1s" } -> 1 at runtime by ')
    daemon.call("queue.scale", queue="a", to=None)
    wait_until(lambda: len(daemon.worker_pids("a")) == 3, 15)
    daemon.reload(QUEUE.replace("max = 3", "max = 2"))
    wait_until(lambda: len(daemon.worker_pids("a")) == 2, 15)
    until.touch()
    for job in added:
        queue.wait_state(job, "completed", 20)


def test_it_shrinks_by_idle_workers_only_and_no_job_is_cut_off(make, jobs, short_tmp):
    text = '[queues.a]\nhandler = "daemon_handlers:slow"\nworkers = { min = 1, max = 2, target_wait = "1s" }\n'
    daemon, queue = make(text), jobs("a")
    (first,) = daemon.worker_pids("a")
    files = [short_tmp / "first", short_tmp / "second"]
    added = [queue.add({"until": str(file), "s": 120}) for file in files]
    # The second waits for the second worker, the last one, and keeps it busy.
    wait_until(lambda: daemon.queue("a")["busy"] == 2, 30)
    (last,) = [pid for pid in daemon.worker_pids("a") if pid != first]
    files[0].touch()
    assert queue.result(added[0]) == "slow"
    calm_since = time.monotonic()
    # Longer than the calm that makes it shrink: the last worker is busy, so it stays.
    wait_until(lambda: time.monotonic() - calm_since > CALM_S + 2, CALM_S + 5)
    assert sorted(daemon.worker_pids("a")) == sorted([first, last])
    files[1].touch()
    assert queue.result(added[1]) == "slow"
    wait_until(lambda: daemon.worker_pids("a") == [first], 30, what="the idle one goes")
    assert daemon.queue("a")["note"].startswith("1 of 1 to 2 workers: idle for ")
    assert [queue.hash(job)["ats"] for job in added] == ["1", "1"]
    wait_until(lambda: [line["why"] for line in daemon.logged("worker exited")] == ["asked"])
