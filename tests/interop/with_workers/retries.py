"""Attempts, backoff, what a failure leaves."""

from __future__ import annotations

from tests.interop.with_workers import FAILS, FLAKY, add, does, worked

COMPAT = "attempts, backoff, failures"

ROWS = {
    **{f"attempts {n}": worked(add(FAILS, attempts=n), add("next")) for n in (0, 1, 2, 3)},
    "succeeds at the second attempt": worked(add(FLAKY, attempts=3), add("next")),
    **{
        f"backoff {backoff}": worked(add(FAILS, attempts=3, backoff=backoff))
        for backoff in (
            15, {"type": "fixed", "delay": 15}, {"type": "exponential", "delay": 8}, {"type": "fixed", "delay": 0},
            {"type": "fixed", "delay": 15, "jitter": 0.5}, {"type": "exponential", "delay": 20, "jitter": 0.5},
        )
    },
    "a retry waits behind what waits": worked(add(FLAKY, attempts=2), *(add(n) for n in range(3))),
    "a retry of a lifo job is next": worked(add(FLAKY, attempts=2, lifo=True), add(1), add(2)),
    "a retry of a prioritized job is the last of its kind": worked(
        add(FLAKY, attempts=2, priority=2), add(1, priority=2), add(2, priority=3),
    ),
    "a delayed retry of a prioritized job": worked(add(FLAKY, attempts=2, priority=2, backoff=20), add(1, priority=2)),
    "given up at once": worked(add(does([["fatal", "no such user"]]), attempts=3)),
    "given up at the second attempt": worked(add(does([["throw", "boom"]], [["fatal", "no"]]), attempts=5)),
    "given up at the last attempt": worked(add(does([["throw", "boom"]], [["fatal", "no"]]), attempts=2)),
    **{
        f"reason {reason!r}": worked(add(does([["throw", reason]]), attempts=1))
        for reason in ("wörld", '{"json": 1}', "two\nlines", "x" * 200, "null", "🙂", "with \\ and \"")
    },
    "each attempt has a reason of its own": worked(add(does([["throw", "a"]], [["throw", "b"]]), attempts=2)),
    "a success keeps the last reason": worked(add(FLAKY, attempts=2)),
    **{
        f"stackTraceLimit {limit}": worked(add(FAILS, attempts=4, stackTraceLimit=limit)) for limit in (0, 1, 2, 10)
    },
    "retried by hand": [
        *worked(add(FLAKY, jobId="a")), ["retry", "q", "a"], ["idle", "q"],
    ],
    "retried by hand when completed": [
        *worked(add(does([["return", 1]], [["return", 2]]), jobId="a")), ["retry", "q", "a", "completed"],
        ["idle", "q"],
    ],
    "all failed ones are retried": [
        *worked(*(add(FLAKY, jobId=f"j{n}") for n in range(3))), ["retry all", "q", {"state": "failed"}], ["idle", "q"],
    ],
}  # fmt: skip
