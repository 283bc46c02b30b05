"""`workers = { min, max, target_wait }` on a real queue."""

from __future__ import annotations

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
