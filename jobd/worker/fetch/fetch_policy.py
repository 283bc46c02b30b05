"""What a worker asks of Redis, and when: the states of its fetching, one method per event. Decisions only.

`FetchLoop` tells what happened and does what `next_step` says.
"""

from __future__ import annotations

from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from jobd.engine.turn import MAX_TAKE
from jobd.worker.run.slots import LONGEST_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Sized

    from jobd.engine.job import TurnReply

SUSPECTS_LIMIT_S = 5.0
"""How long suspects may be passed over before a busy worker takes nothing else until it is empty and can run them."""

MOST_TURNS = 2
"""Turns under way at once: Redis works on one while the handlers that the other brought run."""

HALVES_FROM = 8
"""Concurrency from which a turn goes out when half the slots have news: a turn of fewer jobs costs more than it gains.

Measured with no-op jobs: at concurrency 10 a quarter more jobs a second for a fifth more CPU a job, in threads a third
more; where something else keeps both cores busy, nothing more."""


class Order(Enum):
    """What the daemon wants of this worker."""

    TAKE = "take"
    QUIET = "quiet"
    """Take nothing more; what runs goes on."""
    END = "end"
    """Quiet, and over as soon as every result in hand is in Redis."""


class Link(Enum):
    """How the turns' connection is."""

    OPEN = "open"
    CLOSED = "closed"
    """The server closed it while nothing was under way: nothing is lost, it is only to be opened again."""
    LOST = "lost"
    """Redis is away or a reply was lost: before anything is asked for, it must be found out what became of it."""


class Supply(Enum):
    """What is known of the jobs in Redis."""

    LIKELY = "likely"
    """There may be some: ask as soon as there is room."""
    NONE = "none"
    """Nothing was left at the last look: a marker, a due time or somebody's word ends this."""
    LIMITED = "limited"
    """A rate limit says when to ask again."""


class Step(Enum):
    """What the loop does next."""

    END = "end"
    RECOVER = "recover"
    """Reconnect, and find out what the lost turns did."""
    REOPEN = "reopen"
    RECHECK = "recheck"
    """Ask whether jobs of a reply that was read late are still ours."""
    SEND = "send"
    READ = "read"
    """Wait for the reply of the oldest turn under way."""
    UNBLOCK = "unblock"
    """Make the turn sent ahead run now: the last take before the quiet, or a look somebody asked for."""
    SLEEP = "sleep"


class Load(Protocol):
    """What the policy looks at in the slots."""

    suspects: int
    taking_from: float

    @property
    def ended(self) -> Sized:
        """Attempts whose result no turn carries yet."""

    @property
    def notes(self) -> Sized:
        """What jobs wrote and no turn carries yet."""

    @property
    def running(self) -> Sized:
        """Attempts under way."""

    @property
    def free(self) -> int:
        """How many more jobs may run; what is through counts as gone."""

    @property
    def slots_left(self) -> int:
        """How many slots hold no attempt, not even one whose result is still to be sent."""


class FetchPolicy:
    """The machine. Its state is what it was ordered, its link, its supply, and what is under way."""

    def __init__(self, load: Load, *, most_turns: int = MOST_TURNS) -> None:
        self.order = Order.QUIET
        self.link = Link.LOST
        self.supply = Supply.LIKELY
        self.turns = 0
        """Turns under way on the turns' own connection."""
        self.ahead = 0
        """How many jobs the turn sent ahead may bring; 0 while none waits."""
        self.late = 0
        """Jobs of a reply read so late that their locks are to be looked at first."""
        self._load = load
        self._most_turns = most_turns
        self._taking = 0
        self._ending = 0
        self._alone = False
        """A turn under way may bring a suspect, which is to run alone: nothing else is taken meanwhile."""
        self._unsettled = False
        """Results or notes were lost with a connection, and are to be sent again."""
        self._not_before = 0.0
        self._suspects_since = 0.0
        self.half = 1

    # --- what is to be done ------------------------------------------------------------------------------------------

    def next_step(self) -> Step:
        """Return what to do now, by the state alone."""
        if self.order is Order.END and self.is_over():
            return Step.END
        if self.link is Link.LOST:
            return Step.RECOVER
        if self.link is Link.CLOSED and not self.turns:
            return Step.REOPEN
        if self.late:
            return Step.RECHECK
        if self.sends_another() or (not self.turns and (self.has_news() or self._asks())):
            return Step.SEND
        if self.turns:
            return Step.READ
        if self.ahead and (self.order is not Order.TAKE or self.supply is not Supply.NONE):
            return Step.UNBLOCK
        return Step.SLEEP

    def rests(self, step: Step | None = None) -> bool:
        """Whether a sleeping loop may sleep on: what is next begins with an answer or an end, and no limit runs.

        `step` is the next one where it is known.
        """
        if self.order is not Order.TAKE or self._suspects_since or self._not_before or self._load.taking_from:
            return False
        step = step or self.next_step()
        return step is Step.READ or step is Step.SLEEP

    def is_over(self) -> bool:
        """Whether the end was ordered and nothing is in hand."""
        if self.order is not Order.END or self._load.running:
            return False
        return not (self.turns or self.late or self.ahead or self._unsettled or self.has_news())

    def is_quiet(self) -> bool:
        """Whether no job can begin any more: nothing is to be taken, and nothing under way may bring any."""
        if self.order is Order.TAKE or self.link is Link.LOST:
            return False
        return not (self._taking or self.late or self.ahead)

    def has_news(self) -> bool:
        """Whether there are results or notes for a turn to carry."""
        return bool(self._load.ended or self._load.notes)

    def sends_another(self) -> bool:
        """Whether a turn is worth sending before this moment of the event loop is over, or beside one under way.

        That is when half the slots have news: Redis works on one half while the handlers of the other run.
        """
        return len(self._load.ended) >= self.half and self.turns < self._most_turns and self.link is Link.OPEN

    def room(self, ending: int = 0) -> int:
        """Return how many jobs a turn that carries `ending` results may take.

        What runs, what turns under way may bring, and what is through but not carried count against the concurrency.
        """
        load, promised = self._load, self._taking + self.late
        free = load.free - promised - len(load.ended)
        if free <= 0 or self.ahead or not self.may_take():
            return 0
        return max(0, min(free, MAX_TAKE, load.slots_left + self._ending + ending - promised))

    def may_take(self) -> bool:
        """Whether a turn may take anything at all now."""
        load = self._load
        if self.order is not Order.TAKE or self.link is Link.LOST or load.suspects or self._alone:
            return False
        runs = bool(load.running) or self.is_taking
        if runs and self._suspects_since and monotonic() - self._suspects_since > SUSPECTS_LIMIT_S:
            return False
        start = max(self._not_before, load.taking_from)
        return start == 0.0 or monotonic() >= start

    def _asks(self) -> bool:
        return self.supply is Supply.LIKELY and self.room() > 0

    def wants_marker(self) -> bool:
        """Whether a marker is of use: nothing was left at the last look, and there is room."""
        if self.supply is not Supply.NONE or self.link is Link.LOST or self._taking:
            return False
        return self.may_take() and self._load.free > 0

    def ahead_size(self) -> int:
        """Return how many jobs a turn sent ahead may take; 0 while anything runs or is under way.

        A worker with a job may be kept busy by it (a C call holds the GIL), and whatever it took then would lie unread.
        """
        under_way = self._load.running or self.turns or self.late or self.has_news()
        return 0 if under_way else self.room()

    @property
    def is_taking(self) -> bool:
        """Whether a turn under way may bring jobs."""
        return self._taking > 0

    def busy(self) -> int:
        """Return how many jobs run, or may do so before the next turn is carried out."""
        return len(self._load.running) + self._taking + self.late

    def limit_s(self) -> float | None:
        """Return the seconds until a rate limit ends, None without one; one that is over is forgotten."""
        load = self._load
        start = max(self._not_before, load.taking_from)
        if start == 0.0 or self.order is not Order.TAKE:
            return None
        rest = start - monotonic()
        if rest <= 0:
            # Kept, every idle moment from here on would ask again.
            self._not_before = load.taking_from = 0.0
        return max(0.0, rest)

    # --- what happened -----------------------------------------------------------------------------------------------

    def ordered(self, order: Order) -> None:
        """The daemon wants this from now on; an ordered end stays."""
        if self.order is not Order.END or order is Order.TAKE:
            self.order = order
        if order is Order.TAKE:
            self.supply = Supply.LIKELY

    def resized(self, concurrency: int) -> None:
        """The concurrency is this now; halves of few slots are not worth a turn each."""
        self.half = (concurrency + 1) // 2 if concurrency >= HALVES_FROM else MAX_TAKE * 2

    def look_again(self) -> None:
        """There may be jobs, or more slots, or another limiter."""
        self.supply = Supply.LIKELY

    def slept(self) -> None:
        """The loop was woken: suspects that were passed over are looked for again once nothing runs."""
        if self._suspects_since and not self._load.running:
            self.supply = Supply.LIKELY

    def turn_sent(self, ending: int, take: int) -> None:
        """A turn went out, with so many results and asking for so many jobs."""
        self._alone = self._alone or (take > 0 and self.busy() == 0)
        self.turns += 1
        self._ending += ending
        self._taking += take

    def turn_answered(self, ending: int, take: int) -> None:
        """The oldest turn under way was answered; what it brought is told by `took`."""
        self.turns -= 1
        self._ending -= ending
        self._taking -= take
        if take and self._alone:
            self._alone = False

    def ahead_sent(self, take: int) -> None:
        """A turn lies in Redis behind the wait for a marker."""
        self.ahead = take

    def ahead_answered(self) -> int:
        """It has run; return how many jobs it could bring."""
        take, self.ahead = self.ahead, 0
        return take

    def ahead_is_due(self) -> None:
        """It is made to run at once: that is the look somebody asked for."""
        self.supply = Supply.NONE

    def came_late(self, jobs: int) -> None:
        """So many more jobs wait for a look at their locks; 0: none any more."""
        self.late = self.late + jobs if jobs else 0

    def took(self, reply: TurnReply, take: int) -> None:
        """Know from a take whether and when to look again."""
        now = monotonic()
        self._not_before = 0.0
        self.supply = Supply.NONE if len(reply.jobs) < take else Supply.LIKELY
        if not reply.suspects_skipped:
            self._suspects_since = 0.0
        elif not self._suspects_since:
            self._suspects_since = now
        if reply.limited_ms is not None:
            self.supply = Supply.LIMITED
            self._not_before = now + min(reply.limited_ms / 1000, LONGEST_LIMIT_S)

    def connection_closed(self) -> None:
        """The server closed the turns' connection while nothing was under way on it."""
        if self.link is Link.OPEN:
            self.link = Link.CLOSED

    def reopened(self) -> bool:
        """It is open again; False when meanwhile the turn sent ahead was lost: what became of that comes first."""
        if self.link is Link.CLOSED:
            self.link = Link.OPEN
        return self.link is Link.OPEN

    def connection_lost(self, *, unsettled: bool) -> None:
        """Whatever was under way is lost; `unsettled`: results or notes among it."""
        self.link = Link.LOST
        self.turns = self._ending = self._taking = self.late = self.ahead = 0
        self._alone = False
        self._unsettled = unsettled

    def recovered(self) -> None:
        """All that was lost is found and settled."""
        self.link = Link.OPEN
        self.supply = Supply.LIKELY
        self._unsettled = False
