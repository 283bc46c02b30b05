"""The worker renews what it runs when its daemon has not done so for too long. Redis and the slots are made up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.engine.codes import Code
from jobd.engine.keys import Keys
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.protocol.worker import Cancel
from jobd.worker.fetch.own_renewal import OwnRenewal

LOCK_MS = 60
NEVER, ALWAYS = 0.0, float("inf")
"""When the daemon has renewed."""


class Worker:
    """A worker that runs these jobs; `says` is what Redis answers for each."""

    def __init__(self, *jobs: str, renewed_at: float = NEVER, may_ask: bool = True) -> None:
        self.board: Any = SimpleNamespace(renewed_at=renewed_at)
        self.says: dict[str, int | str] = {}
        self.errors: list[Exception] = []
        self.asked: list[dict[str, str]] = []
        self.cancelled: list[Cancel] = []
        self.lost = 0
        taken = [SimpleNamespace(id=job, token=f"i:1.1.1:{at}", attempts_started=at) for at, job in enumerate(jobs)]
        self.slots: Any = SimpleNamespace(
            numbers=SimpleNamespace(lock_ms=LOCK_MS),
            running={at: SimpleNamespace(taken=job) for at, job in enumerate(taken)},
            cancel=self.cancelled.append,
        )
        self.renewal = OwnRenewal(
            self,  # type: ignore[arg-type]
            Keys("bull", "q"), self.board, self.slots, may_ask=lambda: may_ask, lost=self._lost,
        )  # fmt: skip

    async def run(self, command: Any) -> list[Any]:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop()
        words = [word.decode() if isinstance(word, bytes) else word for word in command.words[5:]]
        self.asked.append(dict(zip(words[::2], words[1::2], strict=True)))
        return [[self.says.get(job, 1) for job in self.asked[-1]]]

    def _lost(self) -> None:
        self.lost += 1

    def live(self, seconds: float) -> None:
        async def work() -> None:
            renewing = asyncio.create_task(self.renewal.run())
            await self.renewal.sleep(seconds)
            await asyncio.sleep(0.01)
            renewing.cancel()

        asyncio.run(work())


def test_all_that_runs_is_renewed_again_and_again_while_the_daemon_does_not():
    worker = Worker("a", "b")
    worker.live(0.5)
    assert worker.asked[0] == {"a": "i:1.1.1:0", "b": "i:1.1.1:1"}
    assert len(worker.asked) > 1
    assert worker.cancelled == []


@pytest.mark.parametrize(
    "worker", [Worker("a", renewed_at=ALWAYS), Worker(), Worker("a", may_ask=False)],
    ids=["the daemon does it", "nothing runs", "Redis is away"],
)  # fmt: skip
def test_redis_is_not_asked_without_need(worker):
    worker.live(0.2)
    assert worker.asked == []


def test_a_job_that_is_not_ours_any_more_or_was_cancelled_is_interrupted():
    worker = Worker("a", "b", "c", "d")
    worker.says = {"a": Code.LOCK_OF_ANOTHER, "b": Code.MISSING_LOCK, "c": "cancelled by root"}
    worker.live(0.1)
    assert worker.cancelled[:3] == [
        Cancel(0, "a", 0, "lock-lost", ""), Cancel(1, "b", 1, "lock-lost", ""),
        Cancel(2, "c", 2, "cancelled", "cancelled by root"),
    ]  # fmt: skip


@pytest.mark.parametrize(("error", "lost"), [(RedisUnavailable("gone"), True), (RedisRefused("no"), False)])
def test_a_redis_that_goes_away_meanwhile_is_told_and_asked_again_later(error, lost, capfd):
    worker = Worker("a")
    worker.errors = [error, error]
    worker.live(0.5)
    assert (worker.errors, worker.lost) == ([], 2 * lost)
    assert worker.asked
    assert capfd.readouterr().err.count("refused") == (not lost)


def test_the_daemon_has_the_first_renewal_behind_an_outage():
    worker = Worker("a")
    worker.slots.numbers.lock_ms = 3_600_000
    worker.renewal._renewed_at -= 3_600
    assert worker.renewal._is_overdue()
    worker.renewal.redis_is_back()
    assert not worker.renewal._is_overdue()
    worker.renewal._renewed_at -= 1.5
    assert worker.renewal._is_overdue()


def test_what_was_renewed_here_is_not_overdue_before_another_part_of_a_locks_life():
    worker = Worker("a")
    worker.slots.numbers.lock_ms = 3_600_000
    worker.renewal._renewed_at -= 3_600
    asyncio.run(worker.renewal._renew())
    assert worker.asked == [{"a": "i:1.1.1:0"}]
    assert not worker.renewal._is_overdue()
