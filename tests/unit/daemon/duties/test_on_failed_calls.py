"""`on_failed` of a job whose own worker is dead: who is told, how often, and that nothing of it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from jobd.daemon.duties.on_failed_calls import OnFailedCalls
from jobd.daemon.processes.worker_state import WorkerState
from jobd.protocol.worker import EndedHeard, JobEnded

ENDED = JobEnded(
    job_id="7", name="n", kind="crashed", reason="worker died", data="{}", opts="{}", timestamp=1, priority=0,
    attempts_made=1, attempts_started=1, parent_key=None,
)  # fmt: skip
HEARD = EndedHeard("7", 1)


class Worker:
    """A ready worker without jobs that does `then` when it is told of one."""

    takes_jobs = True
    board = None
    loop_stands_since = None

    def __init__(self, then: Callable[[Worker], object]) -> None:
        self.state = WorkerState.READY
        self.heard: set[EndedHeard] = set()
        self.told = 0
        self._then = then

    def tell_ended(self, ended: JobEnded) -> None:
        self.told += 1
        self._then(self)


def hears(worker: Worker) -> None:
    worker.heard.add(HEARD)


def dies(worker: Worker) -> None:
    worker.state, worker.takes_jobs = WorkerState.GONE, False


def tell(*workers: Worker) -> None:
    """Tell of one job; return when nobody is told any more."""

    async def changed(limit_s: float) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        pool = SimpleNamespace(workers=lambda: iter(workers))
        fleet: Any = SimpleNamespace(pools={"mail": pool}, changed=changed)
        calls = OnFailedCalls(fleet)
        calls.tell("mail", [ENDED])
        async with asyncio.timeout(10):
            await calls._telling.wait()
        await calls.stop()

    asyncio.run(main())


def test_what_a_worker_has_heard_is_not_kept() -> None:
    worker = Worker(hears)
    tell(worker)
    assert (worker.told, worker.heard) == (1, set())


def test_another_worker_is_told_when_the_first_dies_of_it() -> None:
    workers = [Worker(dies), Worker(hears), Worker(hears)]
    tell(*workers)
    assert [worker.told for worker in workers] == [1, 1, 0]


def test_a_call_that_kills_every_worker_is_made_three_times() -> None:
    workers = [Worker(dies) for _ in range(5)]
    tell(*workers)
    assert sum(worker.told for worker in workers) == 3
