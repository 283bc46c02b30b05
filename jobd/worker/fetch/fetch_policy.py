"""When a worker asks for jobs, and for how many: decisions only."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from jobd.engine.turn import MAX_TAKE

if TYPE_CHECKING:
    from jobd.engine.job import TurnReply
    from jobd.worker.run.slots import Slots

LONGEST_LIMIT_S = 30.0
"""Longest sleep for a limiter before asking again, as BullMQ's maximumRateLimitDelay."""

SUSPECTS_PATIENCE_S = 5.0
"""How long suspects may be passed over before a busy worker takes nothing else until it is empty and can run them."""


class Appetite:
    """Whether this worker wants jobs. `quiet`: it takes none; `dry`: there was nothing more at the last look."""

    def __init__(self, desk: Slots) -> None:
        self.quiet = True
        self.dry = False
        self._desk = desk
        self._not_before = 0.0
        self._suspects_since = 0.0

    def allowed(self) -> bool:
        """Whether a turn may take anything at all now."""
        desk = self._desk
        if self.quiet or desk.suspects or desk.free == 0:
            return False
        if desk.running and self._suspects_since and monotonic() - self._suspects_since > SUSPECTS_PATIENCE_S:
            return False
        start = max(self._not_before, desk.taking_from)
        return start == 0.0 or monotonic() >= start

    def room(self, ending: int = 0) -> int:
        """Return how many jobs a turn that settles `ending` runs may take; slots not settled yet hold none."""
        desk = self._desk
        return min(desk.free, MAX_TAKE, desk.slots_left + ending) if self.allowed() else 0

    def noted(self, reply: TurnReply, take: int) -> None:
        """Know from a take whether and when to look again. A limit says when; without one, `dry` says wait."""
        now = monotonic()
        self._not_before = 0.0
        self.dry = len(reply.jobs) < take
        if not reply.suspects_skipped:
            self._suspects_since = 0.0
        elif not self._suspects_since:
            self._suspects_since = now
        if reply.limited_ms is not None:
            self._not_before = now + min(reply.limited_ms / 1000, LONGEST_LIMIT_S)

    def limit_s(self) -> float | None:
        """Return the seconds until a rate limit ends, None without one; one that is over is forgotten."""
        start = max(self._not_before, self._desk.taking_from)
        if start == 0.0 or self.quiet:
            return None
        rest = start - monotonic()
        if rest <= 0:
            # Kept, every idle moment from here on would ask again.
            self._not_before = self._desk.taking_from = 0.0
        return max(0.0, rest)

    def look_for_suspects(self) -> None:
        """Look again when suspects were passed over while this worker was busy and it is not any more."""
        if self._suspects_since and not self._desk.running:
            self.dry = False
