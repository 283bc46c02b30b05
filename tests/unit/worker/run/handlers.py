"""Handlers of the unit tests; they meet the test through `seen` and `gates`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from jobd import Job, RateLimited, RetryLater, Unrecoverable, WaitForChildren, current_job
from jobd.engine import traces

seen: list[Any] = []
gate = threading.Event()


def echo(job: Job) -> Any:
    return job.data


async def aecho(job: Job) -> Any:
    return job.data


def fail(job: Job) -> None:
    raise ValueError("no luck")


async def afail(job: Job) -> None:
    raise ValueError("no luck")


def give_up(job: Job) -> None:
    raise Unrecoverable("never")


def later(job: Job) -> None:
    raise RetryLater("30s")


def limited(job: Job) -> None:
    raise RateLimited("2s")


def limited_for_an_hour(job: Job) -> None:
    raise RateLimited("1h")


def wait_for_children(job: Job) -> None:
    raise WaitForChildren


def nonsense(job: Job) -> None:
    raise RetryLater("soon")


def wait(job: Job) -> str:
    while not gate.wait(0.002):
        seen.append("waiting")
    return "done"


def quick_or_wait(job: Job) -> str:
    return wait(job) if job.data == "wait" else "quick"


async def await_long(job: Job) -> None:
    await asyncio.sleep(60)


async def stubborn(job: Job) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "anyway"
    return "never"


def talk(job: Job) -> None:
    job.progress(1)
    job.log("line")
    job.update_data({"n": 2})


def who(job: Job) -> list[Any]:
    found = current_job()
    return [found is job, job.worker, threading.current_thread().name]


async def awho(job: Job) -> bool:
    await asyncio.sleep(0)
    return current_job() is job


@contextlib.asynccontextmanager
async def on_loop() -> AsyncIterator[None]:
    seen.append("entered")
    yield
    seen.append("left")


def tells_what_came(job: Job) -> None:
    """Note which exception ends it."""
    seen.append("begun")
    try:
        while True:
            time.sleep(0.001)
    except BaseException as error:
        seen.append(type(error).__name__)
        raise


held: dict[str, asyncio.Future[None]] = {}


async def hold(job: Job) -> None:
    """Run until the test ends the job's future."""
    held[job.id] = asyncio.get_running_loop().create_future()
    try:
        await held[job.id]
    finally:
        del held[job.id]


probes: list[Callable[[], Any]] = []


async def probe(job: Job) -> None:
    """Note what a probe of the test says as it begins, then hold."""
    seen.append((job.id, probes[0]()))
    await hold(job)


def traced(job: Job) -> None:
    with traces._found.start_as_current_span("inside"):  # type: ignore[union-attr]
        pass


async def atraced(job: Job) -> None:
    await asyncio.sleep(0)
    traced(job)


def traced_batch(jobs: list[Job]) -> list[Any]:
    traced(jobs[0])
    return [ValueError("bad") if job.data == "bad" else job.data for job in jobs]


async def atraced_batch(jobs: list[Job]) -> list[Any]:
    await asyncio.sleep(0)
    return traced_batch(jobs)


def batch_until_gate(jobs: list[Job]) -> list[Any]:
    gate.wait(10)
    return [job.id for job in jobs]


async def abatch_until_gate(jobs: list[Job]) -> list[Any]:
    while not gate.is_set():
        await asyncio.sleep(0.001)
    return [job.id for job in jobs]


def together(jobs: list[Job]) -> list[Any]:
    return [job.data for job in jobs]
