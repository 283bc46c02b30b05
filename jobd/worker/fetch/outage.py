"""Whether Redis is there, as far as this worker knows: four states, one method per event. Decisions only.

The way back is walked by the loop (`FetchLoop._recover`); here stands how long to wait before each try, and who is told
what.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from jobd.engine.trouble import Trouble
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.errors import JobdError


class Contact(Enum):
    """How Redis was met last."""

    THERE = "there"
    MOVED = "moved"
    """The server we had is ours no more (a demoted primary, say); another may answer at the same address in a moment,
    so nobody has been told yet."""
    AWAY = "away"
    """Nobody answers, or what answers refuses; the daemon and the log have been told."""
    ASKED = "asked"
    """It answers again, and had refused turns before: whether it takes them now, the next one tells. Until then nobody
    hears of an end, which would be one a second while its disk is full.
    """


class Outage:
    """The machine. Daemon and log hear of an outage once, and once of its end."""

    def __init__(self, report: Callable[[bool, str | None, str | None], None]) -> None:
        """`report` is told up or not, why, and which trouble."""
        self.contact = Contact.THERE
        self._report = report
        self._delay = ReconnectDelay()

    def turn_answered(self) -> None:
        """A turn was answered: the next trouble is a new one."""
        self._delay.worked()
        if self.contact is Contact.ASKED:
            self._back()

    def not_there_at_start(self, error: JobdError) -> None:
        """Redis did not answer before the daemon had heard of this worker; its Ready will say so."""
        self._delay.failed(error)
        self._gone(error, tell=False)

    def turn_lost(self, error: JobdError) -> None:
        """A turn was refused, or its reply is lost."""
        self._delay.failed(error)
        if not _has_moved(error) or self._delay.refused_again:
            self._gone(error)
        elif self.contact is Contact.THERE:
            self.contact = Contact.MOVED

    def try_failed(self, error: JobdError) -> None:
        """A try to reconnect failed."""
        log.debug("Redis is still away: %s", error)
        self._gone(error)

    def recovered(self, *, asks: bool) -> None:
        """Redis is there again, and all that was lost is found. `asks`: a turn follows at once."""
        if asks and self.contact is Contact.AWAY and self._delay.refused:
            self.contact = Contact.ASKED
        else:
            self._back()

    def _back(self) -> None:
        was, self.contact = self.contact, Contact.THERE
        if was in (Contact.AWAY, Contact.ASKED):
            log.info("Redis is back")
            self._report(True, None, None)

    def pause_s(self) -> float:
        """Return how long to wait before the next try."""
        return self._delay.next_s()

    def _gone(self, error: JobdError, *, tell: bool = True) -> None:
        was, self.contact = self.contact, Contact.AWAY
        if was in (Contact.AWAY, Contact.ASKED):
            return
        log.warning("Redis is away: %s", error)
        if tell:
            self._report(False, str(error), _trouble(error))


def _trouble(error: JobdError) -> str | None:
    return error.trouble if isinstance(error, RedisRefused | RedisUnavailable) else None


def _has_moved(error: JobdError) -> bool:
    return _trouble(error) in (Trouble.READ_ONLY, Trouble.MOVED)


class ReconnectDelay:
    """How long to wait before Redis is tried again: it counts what failed since the last turn that worked."""

    PAUSES_S = (0.0, 0.02, 0.05, 0.1, 0.2)
    """Pauses between tries to reach Redis, the last one repeated: a worker is back at work 2 s after Redis is."""

    REFUSED_S = 1.0
    """Pause before a Redis that answers is asked again, when it refused every turn since the last that worked."""

    def __init__(self) -> None:
        self._tries = 0
        self._refusals = 0

    @property
    def refused(self) -> bool:
        """Whether a turn was refused since the last that worked."""
        return self._refusals > 0

    @property
    def refused_again(self) -> bool:
        """Whether more than one turn was refused since the last that worked."""
        return self._refusals > 1

    def worked(self) -> None:
        """Start anew: a turn was answered."""
        self._tries = self._refusals = 0

    def failed(self, error: JobdError) -> None:
        """Take note of why a turn was not."""
        self._refusals += isinstance(error, RedisRefused)

    def next_s(self) -> float:
        """Return how long to wait before the next try."""
        if self._refusals > 1:
            return self.REFUSED_S
        self._tries += 1
        return self.PAUSES_S[min(self._tries, len(self.PAUSES_S)) - 1]
