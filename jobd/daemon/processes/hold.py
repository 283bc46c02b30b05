"""A queue held back: why none of its workers is started, until when, and the timer that ends it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from jobd.daemon.logs import event_log
from jobd.daemon.processes.restarts import BreakerState, RestartDelay
from jobd.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.clock import Clock
    from jobd.config.tables import Breaker
    from jobd.daemon.processes.place import Timer

log = event_log(__name__)

_FIRST_SETUP_DELAY_S = 1.0


class HeldBy(StrEnum):
    """What holds a queue back."""

    BREAKER = "breaker"
    """Its workers crashed too often."""
    SETUP = "setup"
    """A worker could not get ready. When the time is over one worker tries; the others follow when it is ready."""


class Hold:
    """The hold of one queue, off or on. It knows no worker: the pool tells it what happened and asks before a start."""

    def __init__(
        self,
        queue: str,
        clock: Clock,
        later: Callable[[float, Callable[[], None]], Timer],
        on_elapsed: Callable[[], None],
    ) -> None:
        """Begin off. `later` calls back after some seconds; `on_elapsed` is called when the time of a hold is over."""
        self.by: HeldBy | None = None
        self.reason = ""
        self.until = 0.0
        """When its time is over (monotonic)."""
        self._queue = queue
        self._clock = clock
        self._later = later
        self._on_elapsed = on_elapsed
        self._timer: Timer | None = None
        self._breaker = BreakerState()
        self._setup_delay = RestartDelay()

    @property
    def is_on(self) -> bool:
        """Whether the queue is held back."""
        return self.by is not None

    @property
    def is_probing(self) -> bool:
        """Whether it is over as soon as the one worker that tries is ready."""
        return self.by is HeldBy.SETUP and self._timer is None

    def crashed(self, rule: Breaker, how: str) -> bool:
        """Count a crash; return whether the breaker holds the queue from now on."""
        if not self._breaker.exited(self._clock.monotonic(), rule.crashes, rule.within_ms / 1000):
            return False
        crashes = "1 crash" if rule.crashes == 1 else f"{rule.crashes} crashes"
        reason = f"{crashes} in {format_duration(rule.within_ms)} ({how})"
        self._begin(HeldBy.BREAKER, reason, rule.retry_ms / 1000)
        return True

    def setup_failed(self, reason: str) -> None:
        """Hold the queue because a worker could not get ready: longer each time in a row."""
        self._begin(HeldBy.SETUP, reason, max(_FIRST_SETUP_DELAY_S, self._setup_delay.after_exit(0.0)))

    def setup_worked(self) -> None:
        """A worker is ready: what kept the setup from working is over."""
        self._setup_delay.reset()
        if self.by is HeldBy.SETUP:
            self.release()

    def release(self) -> None:
        """Hold the queue no longer, and forget its crashes."""
        self.cancel_timer()
        self._breaker.reset()
        self.by, self.reason = None, ""

    def cancel_timer(self) -> None:
        """Whatever its time: nothing happens of itself any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, by: HeldBy, reason: str, delay_s: float) -> None:
        self.cancel_timer()
        self.by, self.reason = by, reason
        self.until = self._clock.monotonic() + delay_s
        log.warning("queue held back", queue=self._queue, why=by.value, reason=reason, retry_ms=round(delay_s * 1000))
        self._timer = self._later(delay_s, self._elapsed)

    def _elapsed(self) -> None:
        self._timer = None
        self._on_elapsed()
