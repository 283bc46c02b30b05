"""The asyncio client: the same names as the sync one, awaited."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from jobd.client import AsyncQueue
from jobd.engine.adding import BATCH
from jobd.errors import InputError, JobdError, JobFailed, NotThere, RedisUnavailable
from tests.support.finishing import finish
from tests.support.redis_server import RedisServer


@pytest.fixture
def use(redis_server: RedisServer, prefix: str) -> Callable[[Callable[[AsyncQueue], Awaitable[Any]]], Any]:
    """Run a coroutine function with a queue, on an event loop of its own."""

    def run(act: Callable[[AsyncQueue], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with AsyncQueue("email", url=redis_server.url, prefix=prefix) as queue:
                return await act(queue)

        return asyncio.run(main())

    return run


async def watched(queue: AsyncQueue) -> None:
    """Return when somebody's wait has a reader."""
    async with asyncio.timeout(10):
        while not any(task.get_name() == f"jobd events {queue.name}" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.005)


def test_add_get_counts_and_duplicates(use: Any) -> None:
    async def act(queue: AsyncQueue) -> None:
        job = await queue.add(
            "welcome", {"userId": 7}, delay="10s", priority=5, job_id="welcome-7", deduplicate="user-7", lifo=False,
            keep_completed=100,
        )  # fmt: skip
        found = await queue.get(job.id)
        assert found is not None
        assert (found.data, found.delay_ms, found.priority) == ({"userId": 7}, 10_000, 5)
        assert (await queue.counts())["delayed"] == 1
        again = await queue.add("welcome", job_id="welcome-7")
        assert (job.duplicate, again.duplicate) == (False, True)

    use(act)


def test_many_jobs_arrive_in_order(use: Any) -> None:
    async def act(queue: AsyncQueue) -> None:
        jobs = await queue.add_many(("n", {"i": i}) for i in range(BATCH + 1))
        assert [job.id for job in jobs] == [str(i + 1) for i in range(BATCH + 1)]
        with pytest.raises(InputError, match="job 0"):
            await queue.add_many([("n", {1})])

    use(act)


def test_hundreds_of_tasks_may_add_at_once(use: Any) -> None:
    async def act(queue: AsyncQueue) -> None:
        jobs = await asyncio.gather(*(queue.add("n", number) for number in range(400)))
        assert len({job.id for job in jobs}) == (await queue.counts())["waiting"] == 400

    use(act)


def test_waits_end_with_result_failure_or_time(use: Any, r: redis.Redis) -> None:
    async def act(queue: AsyncQueue) -> None:
        done, failed, gone, slow, removed = await queue.add_many([("n", {})] * 5)
        waits = asyncio.gather(
            *(job.wait(timeout=20) for job in (done, failed, gone, removed)), slow.wait("300ms"), return_exceptions=True
        )
        await watched(queue)
        finish(r, queue.keys, done.id, result='{"ok":1}')
        finish(r, queue.keys, failed.id, reason="boom")
        finish(r, queue.keys, gone.id, result="2", keep=False)
        r.delete(queue.keys.job(removed.id))
        r.xadd(queue.keys.events, {"event": "removed", "jobId": removed.id, "prev": "wait"})
        came = await waits
        assert came[0] == {"ok": 1}
        assert isinstance(came[1], JobFailed)
        assert came[1].reason == "boom"
        assert came[2] == 2
        assert isinstance(came[3], NotThere)
        assert isinstance(came[4], TimeoutError)
        assert await done.wait() == {"ok": 1}
        assert await gone.wait() == 2

    use(act)


def test_a_cancelled_wait_leaves_the_others(use: Any, r: redis.Redis) -> None:
    async def act(queue: AsyncQueue) -> None:
        job = await queue.add("n")
        first, second = (asyncio.create_task(job.wait()) for _ in range(2))
        await watched(queue)
        first.cancel()
        await asyncio.wait([first])
        finish(r, queue.keys, job.id, result="1")
        assert first.cancelled()
        assert await asyncio.wait_for(second, 10) == 1

    use(act)


def test_closing_ends_a_wait(redis_server: RedisServer, prefix: str) -> None:
    async def main() -> None:
        queue = AsyncQueue("email", url=redis_server.url, prefix=prefix)
        job = await queue.add("n")
        wait = asyncio.create_task(job.wait())
        await watched(queue)
        await queue.close()
        await queue.close()
        with pytest.raises(JobdError, match="closed"):
            await asyncio.wait_for(wait, 10)

    asyncio.run(main())


def test_each_event_loop_gets_its_own_connections(redis_server: RedisServer, prefix: str) -> None:
    queue = AsyncQueue("email", url=redis_server.url, prefix=prefix)

    async def once() -> str:
        async with queue:
            return (await queue.add("n")).id

    assert [asyncio.run(once()) for _ in range(2)] == ["1", "2"]


def test_an_add_that_is_not_answered_says_so(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with AsyncQueue("email", url=own_redis.url, answer_limit=0.5) as queue:
            await queue.add("n")
            own_redis.signal(signal.SIGSTOP)
            start = time.monotonic()
            with pytest.raises(RedisUnavailable, match="a job_id makes it safe to repeat"):
                await queue.add("n")
            assert time.monotonic() - start < 3
            own_redis.signal(signal.SIGCONT)

    asyncio.run(main())


def test_redis_going_away_ends_a_wait(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with AsyncQueue("email", url=own_redis.url) as queue:
            wait = asyncio.create_task((await queue.add("n")).wait())
            await watched(queue)
            own_redis.kill()
            with pytest.raises(RedisUnavailable):
                await asyncio.wait_for(wait, 10)

    asyncio.run(main())
