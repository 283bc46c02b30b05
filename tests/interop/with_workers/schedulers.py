"""Iterations of schedulers, each made by the worker that takes the one before."""

from __future__ import annotations

from typing import Any

from tests.interop.with_workers import FLAKY, Step, add, does
from tests.interop.with_workers.telemetry import METADATA, SILENT, TRACE

COMPAT = "job schedulers run by a worker"
RARELY = {"every": 60_000}


def every(data: Any = 1, repeat: dict[str, Any] = RARELY, **opts: Any) -> Step:
    return ["schedule", "q", "s", repeat, {"name": "tick", "data": data, "opts": opts}]


def once(*steps: Step, state: str = "completed", count: int = 1) -> list[Step]:
    """The first run, which makes the second, and that one's delay is far longer than any test."""
    return [*steps, ["work", "q", {}], ["state", "q", state, count]]


ROWS = {
    "three times": [["work", "q", {}], every(repeat={"every": 250, "limit": 3}), ["state", "q", "completed", 3]],
    "with a result and progress": once(every(does([["progress", 1], ["return", {"x": 1}]]))),
    "retried": once(every(FLAKY, attempts=2)),
    "retried later": once(every(FLAKY, attempts=2, backoff=10)),
    "failing": once(every(does([["throw", "boom"]])), state="failed"),
    "failing for good": once(every(does([["fatal", "boom"]]), attempts=3), state="failed"),
    "with a priority": once(every(priority=3), add("first"), count=2),
    "with data that a run changes": once(every(does([["data", {"x": 1}], ["return", 1]]))),
    "put off": once(every(does([["later", 10]], [["return", 1]]))),
    **{
        f"with {name}": once(every(telemetry=telemetry, attempts=2))
        for name, telemetry in (("both words of traces", TRACE), ("omitContext", SILENT), ("metadata", METADATA))
    },
    "with traces' words, retried": once(every(FLAKY, telemetry=TRACE, attempts=2, backoff=10)),
}  # fmt: skip
