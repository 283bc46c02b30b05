"""How many workers a queue is to have, by how long its jobs wait: a pure decision, made once a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd.duration import format_duration

if TYPE_CHECKING:
    from jobd.config.scaling import Scaling

SETTLE_S = 2.0
"""After a change the queue is left alone for this long: new workers need a moment to show what they do."""

CALM_S = 10.0
"""Nothing has waited noticeably for at least this long before a worker goes."""


@dataclass(frozen=True, slots=True)
class Load:
    """A queue at one moment. `oldest_wait_s` is the age of the job that runs next, None when none waits.

    `may_help` is False while another worker would take nothing: paused, rate limited, at its global concurrency, quiet
    or held back. `last_is_idle`: the worker that would go runs nothing, and so do enough slots of the others.
    """

    workers: int
    all_ready: bool
    waiting: int
    oldest_wait_s: float | None
    last_is_idle: bool
    may_help: bool = True


@dataclass(slots=True)
class Autoscale:
    """The number of workers of one queue, and why it is that."""

    scaling: Scaling
    workers: int
    why: str = ""
    changed_at: float = 0.0
    calm_since: float | None = None

    def use(self, scaling: Scaling) -> None:
        """Have other bounds; the number stays as far as they allow."""
        self.scaling = scaling
        self.workers = min(max(self.workers, scaling.min), scaling.max)

    def look(self, load: Load, now: float) -> bool:
        """Take note of the load at `now` (monotonic); return whether the number of workers has changed."""
        target_s = self.scaling.target_wait_ms / 1000
        waited_s = load.oldest_wait_s or 0.0
        if load.waiting == 0 or waited_s < target_s / 4:
            self.calm_since = now if self.calm_since is None else self.calm_since
        else:
            self.calm_since = None
        if now - self.changed_at < SETTLE_S or not load.all_ready:
            return False
        if load.may_help and load.waiting and waited_s >= target_s / 2:
            return self._grow(load, waited_s, target_s, now)
        calm_s = 0.0 if self.calm_since is None else now - self.calm_since
        if load.last_is_idle and not load.waiting and calm_s >= max(CALM_S, target_s):
            return self._to(self.workers - 1, f"idle for {format_duration(round(calm_s * 1000))}", now)
        return False

    def _grow(self, load: Load, waited_s: float, target_s: float, now: float) -> bool:
        # Past the target by half of what there is; on the way to it one at a time. Never more workers than jobs wait.
        more = max(1, self.workers // 2) if waited_s >= target_s else 1
        told = f"the oldest job waits {format_duration(round(waited_s * 1000))}"
        why = f"{told} (target {format_duration(self.scaling.target_wait_ms)})"
        return self._to(self.workers + min(more, load.waiting), why, now)

    def _to(self, workers: int, why: str, now: float) -> bool:
        workers = min(max(workers, self.scaling.min), self.scaling.max)
        if workers == self.workers:
            return False
        self.workers, self.why, self.changed_at = workers, why, now
        return True
