"""Deduplication while a worker ends jobs."""

from __future__ import annotations

from typing import Any

from tests.interop.with_workers import FAILS, FLAKY, Step, add, does, worked
from tests.interop.with_workers.order import HELD, beside

COMPAT = "deduplication beside a running worker"
MODES: dict[str, dict[str, Any]] = {
    "simple": {"id": "d"},
    "ttl": {"id": "d", "ttl": 60_000},
    "extend": {"id": "d", "ttl": 60_000, "extend": True},
    "replace": {"id": "d", "ttl": 60_000, "extend": True, "replace": True},
    "reschedule": {"id": "d", "reschedule": True},
    "keepLastIfActive": {"id": "d", "keepLastIfActive": True},
    "keepLastIfActive and ttl": {"id": "d", "keepLastIfActive": True, "ttl": 60_000},
}


def again(mode: dict[str, Any], **more: Any) -> list[Step]:
    return [add(n, deduplication=mode, **more) for n in (1, 2)]


ROWS = {
    **{f"{name}, waiting": worked(*again(mode), add(3)) for name, mode in MODES.items()},
    **{f"{name}, delayed": worked(*again(mode, delay=40), add(3), ["due", "q"]) for name, mode in MODES.items()},
    **{f"{name}, while it runs": beside(*again(mode), deduplication=mode) for name, mode in MODES.items()},
    **{
        f"{name}, after its {end}": [
            *worked(add(data, deduplication=mode)), ["pause", "q"], *again(mode), ["resume", "q"], ["idle", "q"],
        ]
        for name, mode in MODES.items() for end, data in (("end", 0), ("failure", FAILS))
    },
    **{
        f"{name}, between two attempts": worked(add(FLAKY, attempts=2, backoff=30, deduplication=mode), *again(mode))
        for name, mode in MODES.items()
    },
    **{
        f"{name}, not kept": worked(*again(mode, removeOnComplete=True), add(FAILS, removeOnFail=True))
        for name, mode in MODES.items()
    },
    "the key is taken away": [
        add(HELD, jobId="a", deduplication=MODES["simple"]), ["work", "q", {}], ["noted", "held"],
        ["deduplication away", "q", "d"], *again(MODES["simple"]), ["open", "go"], ["idle", "q"],
    ],
    "the last of many is kept": beside(
        *(add(n, deduplication=MODES["keepLastIfActive"], priority=n) for n in (1, 2, 3)),
        deduplication=MODES["keepLastIfActive"],
    ),
    "the last is kept for one that fails": beside(
        *again(MODES["keepLastIfActive"]), deduplication=MODES["keepLastIfActive"],
        data=does([["note", "held"], ["gate", "go"], ["throw", "boom"]]),
    ),
    "the last is kept over a retry": beside(
        *again(MODES["keepLastIfActive"]), deduplication=MODES["keepLastIfActive"], attempts=2,
        data=does([["note", "held"], ["gate", "go"], ["throw", "boom"]], [["return", 1]]),
    ),
    "the last is kept with a delay": beside(
        *again(MODES["keepLastIfActive"], delay=30, attempts=2), deduplication=MODES["keepLastIfActive"],
    ),
}  # fmt: skip
