"""What stays of jobs that have ended."""

from __future__ import annotations

from tests.interop.with_workers import FAILS, FLAKY, add, worked

COMPAT = "removeOnComplete, removeOnFail: of the job, of the worker"
RULES = (True, False, 0, 1, 2, -1, {"count": 2}, {"count": 0}, {"age": 3600}, {"age": 3600, "count": 1}, {"age": 0})

ROWS = {
    **{f"removeOnComplete {rule}": worked(*(add(n, removeOnComplete=rule) for n in range(4))) for rule in RULES},
    **{f"removeOnFail {rule}": worked(*(add(FAILS, removeOnFail=rule) for _ in range(4))) for rule in RULES},
    **{
        f"the worker's {rule}": worked(
            *(add(n) for n in range(4)), *(add(FAILS) for _ in range(4)), removeOnComplete=rule, removeOnFail=rule,
        )
        for rule in RULES if isinstance(rule, dict)
    },
    "the job's rule before the worker's": worked(
        add(1), add(2, removeOnComplete=False), add(3, removeOnComplete=True), add(4), removeOnComplete={"count": 1},
    ),
    "a retry is not removed": worked(add(FLAKY, attempts=2, removeOnFail=True)),
    "logs go with the job": [
        add({"runs": [[["log", "a"], ["log", "b"]]]}, jobId="a", removeOnComplete=True), *worked(),
    ],
    "one rule trims what others left": worked(add(1), add(2), add(3), add(4, removeOnComplete=2)),
}  # fmt: skip
