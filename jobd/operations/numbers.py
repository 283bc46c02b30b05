"""The numbers of a daemon: what `jobd metrics` and `/metrics` are drawn from. Light, and plain values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobd.protocol.counts import Histogram, Runs


@dataclass(frozen=True, slots=True)
class QueueNumbers:
    """One queue of this host.

    `jobs` is {state: how many are in Redis}, None when Redis could not be asked; `runs` {label: its runs}; `workers`
    {state: how many}; `memory` {worker's number: bytes}; `restarts` {reason: how many}; `renewals` {result: how many}.
    """

    name: str
    state: str
    why: str
    jobs: Mapping[str, int] | None
    oldest_waiting_s: float | None
    busy: int
    free: int
    breaker_open: bool
    workers: Mapping[str, int]
    memory: Mapping[int, int]
    runs: Mapping[str, Runs]
    waits: Histogram
    restarts: Mapping[str, int]
    renewals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ScheduleNumbers:
    """One schedule of the file. `last_run_s` is a moment in seconds since 1970, None before the first run."""

    name: str
    last_run_s: float | None
    missed: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """The whole daemon. `redis_s` is the time of one round trip, None when Redis did not answer."""

    version: str
    ready: bool
    generation: int
    reloads: Mapping[str, int]
    redis_up: bool
    redis_s: float | None
    queues: Sequence[QueueNumbers]
    schedules: Sequence[ScheduleNumbers] = ()
