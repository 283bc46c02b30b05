"""Pause, resume, limits over all workers, while a worker is there."""

from __future__ import annotations

from tests.interop.with_workers import add, does, worked
from tests.interop.with_workers.order import beside

COMPAT = "pause and limits beside a running worker"
GO = ["idle", "q"]

ROWS = {
    "paused before the start": [["pause", "q"], add(1), add(2, priority=1), ["work", "q", {}], ["resume", "q"], GO],
    "paused while one runs": beside(["pause", "q"], add(1), ["open", "go"], ["state", "q", "completed", 1],
                                    add(2, lifo=True), ["resume", "q"]),
    "paused while one that will be retried runs": beside(
        ["pause", "q"], add(1), ["open", "go"], ["state", "q", "wait", 2], ["resume", "q"],
        data=does([["note", "held"], ["gate", "go"], ["throw", "boom"]], [["return", 1]]), attempts=2,
    ),
    "paused while one that will be retried later runs": beside(
        ["pause", "q"], ["open", "go"], ["state", "q", "delayed", 1], ["resume", "q"],
        data=does([["note", "held"], ["gate", "go"], ["throw", "boom"]], [["return", 1]]), attempts=2, backoff=400,
    ),
    "paused and resumed while nothing is there": [["work", "q", {}], ["pause", "q"], ["resume", "q"], add(1), GO],
    "paused, then a delay becomes due": [
        add(1, delay=10), add(2, delay=10, priority=2), ["pause", "q"], ["due", "q"], ["resume", "q"],
        ["work", "q", {}], GO,
    ],
    "global concurrency of one": worked(["global concurrency", "q", 1], add(1), add(2), add(3)),
    "global concurrency of one, one fails": worked(
        ["global concurrency", "q", 1], add(does([["throw", "boom"]]), attempts=2), add(2), add(3, priority=3),
    ),
    "global concurrency while one runs": beside(["global concurrency", "q", 1], add(1), add(2)),
    "limited by a job": worked(
        add(does([["limited", 40]], [["return", 1]])), add(2), limiter={"max": 100, "duration": 10_000},
    ),
    "limited by a prioritized job": worked(
        add(does([["limited", 40]], [["return", 1]]), priority=3), add(2, priority=3),
        limiter={"max": 100, "duration": 10_000},
    ),
    "limited by a job of which better ones come": worked(
        add(does([["add", "q", "job", 1, {"priority": 2}], ["limited", 40]], [["return", 1]]), priority=5),
        add(2, priority=5), limiter={"max": 100, "duration": 10_000},
    ),
    "limited by a job, no limiter": worked(add(does([["limited", 40]], [["return", 1]])), add(2)),
    "the worker's limiter": worked(*(add(n) for n in range(5)), limiter={"max": 2, "duration": 200}),
    "the worker's limiter with failures": worked(
        *(add(does([["throw", "boom"]], [["return", 1]]), attempts=2) for n in range(3)),
        limiter={"max": 2, "duration": 200},
    ),
    "the global limiter": worked(["global limit", "q", 2, 200], *(add(n) for n in range(5))),
    "the global limiter and the worker's": worked(
        ["global limit", "q", 2, 5000], *(add(n) for n in range(5)), limiter={"max": 3, "duration": 200},
    ),
    "limited by hand": worked(["limit", "q", 60], add(1), add(2), limiter={"max": 10, "duration": 1000}),
    "a limit is taken away": worked(
        ["limit", "q", 60_000], ["limit away", "q"], add(1), limiter={"max": 10, "duration": 10_000},
    ),
}  # fmt: skip
