"""What a worker's environment says of the worker itself."""

from __future__ import annotations

import os
import signal

from tests.support.waiting import wait_until


def test_each_worker_has_its_number_and_its_replacement_the_same(make, jobs):
    daemon = make(
        '[queues.a]\nhandler = "daemon_handlers:variable"\nbreaker = false\n'
        'env = { DEVICE = "{worker}", WHO = "{queue} of {app}" }\n'
    )
    a = jobs("a")
    assert a.result(a.add({"name": "DEVICE"})) == "0"
    assert a.result(a.add({"name": "WHO"})) == "a of jobd"
    (pid,) = daemon.worker_pids("a")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: daemon.worker_pids("a") not in ([], [pid]))
    assert a.result(a.add({"name": "DEVICE"})) == "0"
    daemon.call("queue.scale", queue="a", to="2")
    wait_until(lambda: len(daemon.worker_pids("a")) == 2)
    numbers = set()

    def seen() -> bool:
        numbers.update(a.result(a.add({"name": "DEVICE"})) for _ in range(4))
        return numbers == {"0", "1"}

    wait_until(seen, 20)
