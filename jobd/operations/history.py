"""The last hours of queues: this host's own memory of them, else what BullMQ's workers count in Redis."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.keys import Keys
from jobd.engine.metrics import metric_head, metric_minutes, minutes
from jobd.operations.documents.history import Histories
from jobd.operations.operation import Place
from jobd.operations.params.queues import SomeQueues
from jobd.operations.queues import queue_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.operations.documents.history import QueueHistory

_PAGE = 250
"""Queues asked about in one round trip."""


async def read(place: Place, params: SomeQueues) -> Histories:
    """Tell throughput, failures and wait of queues for each of the last minutes, at most 6 hours.

    A queue that this host runs is told from its own memory, another one from BullMQ's metrics, if its workers keep any
    (jobd's do, Node's with `metrics` among their options). A queue of which nothing is known is left out.
    """
    own = {} if place.host is None else place.host.history(params.queues or None)
    names = list(dict.fromkeys(params.queues)) or await queue_names(place.runner, place.prefix)
    found: list[QueueHistory] = list(own.values())
    others = [name for name in names if name not in own]
    for start in range(0, len(others), _PAGE):
        found += await _counted(place, others[start : start + _PAGE])
    return {"queues": sorted(found, key=lambda queue: queue["name"])}


async def _counted(place: Place, names: Sequence[str]) -> list[QueueHistory]:
    """Return what BullMQ's workers count of these queues."""
    now_ms = SYSTEM_CLOCK.now_ms()
    asked = [(Keys(place.prefix, name), state) for name in names for state in ("completed", "failed")]
    heads = await place.runner.run_many([metric_head(keys, state) for keys, state in asked])
    closed = await place.runner.run_many([metric_minutes(keys, state) for keys, state in asked])
    counts = [minutes(head, data, now_ms) for head, data in zip(heads, closed, strict=True)]
    pairs = zip(names, counts[::2], counts[1::2], strict=True)
    return [_document(name, good, bad, now_ms) for name, good, bad in pairs if good or bad]


def _document(queue: str, completed: Sequence[int], failed: Sequence[int], now_ms: int) -> QueueHistory:
    pairs = list(zip_longest(reversed(completed), reversed(failed), fillvalue=0))
    pairs.reverse()
    nothing: list[float | None] = [None] * len(pairs)
    return {
        "name": queue,
        "source": "bullmq",
        "until": (now_ms // 60_000 + 1) * 60_000,
        "done": [float(good + bad) for good, bad in pairs],
        "failed": [float(bad) for _, bad in pairs],
        "waiting": nothing,
        "oldest_s": nothing,
    }
