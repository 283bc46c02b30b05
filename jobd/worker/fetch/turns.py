"""Turns: sent with what is through and what there is room for, read for what became of it and which jobs they brought.

What was asked and not answered yet is kept here and shown on the board: a reply that nobody has read may hold jobs
which no slot shows.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.job import TurnRequest
from jobd.engine.locks import renew_locks
from jobd.engine.turn import turn
from jobd.worker.fetch.fetch_policy import Supply
from jobd.worker.run.ends import count_finals
from jobd.worker.run.refusal import refused

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from jobd.engine.job import Taken, TurnReply
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command
    from jobd.engine.turn import Note
    from jobd.protocol.board import BoardWriter
    from jobd.worker.fetch.connection import Connection
    from jobd.worker.fetch.fetch_policy import FetchPolicy
    from jobd.worker.fetch.notes import Notes
    from jobd.worker.run.attempt import Attempt
    from jobd.worker.run.slots import Slots


@dataclass(frozen=True, slots=True)
class Holder:
    """As whom jobs are taken: the queue, the name left in a job (`pb`), and what its lock's token begins with."""

    keys: Keys
    name: str
    token_prefix: str


@dataclass(slots=True)
class Turn:
    """A turn, or notes alone, under way; `begun` gets the raw replies."""

    attempts: list[Attempt]
    take: int
    sent_at: float
    notes: list[Note]
    commands: list[Command[Any]]
    begun: asyncio.Future[list[Any]]

    @property
    def calls(self) -> int:
        """How many of its commands are notes."""
        return len(self.commands) - bool(self.attempts or self.take)


class Turns:
    """The turns of one worker, those under way in the order they were sent."""

    def __init__(
        self, connection: Connection, holder: Holder, *, policy: FetchPolicy, slots: Slots, notes: Notes,
        board: BoardWriter, nothing_left: Callable[[int | None], None], direct: Callable[[list[Any]], bool],
        unread: Callable[[object], None],
    ) -> None:  # fmt: skip
        """`nothing_left` is called when a take found fewer jobs than it wanted, with the first due time (wall, ms).

        `direct` is offered the results of each turn where they come in; `unread` is called when there is an answer to
        `read`, a lost one too.
        """
        self._connection = connection
        self._holder = holder
        self._policy = policy
        self._slots = slots
        self._notes = notes
        self._board = board
        self._nothing_left = nothing_left
        self._direct = direct
        self._unread = unread
        self._under_way: deque[Turn] = deque()
        self._late: list[Taken] = []
        self._late_since = self._ahead_since = 0.0
        self.starting = False
        """Whether jobs of a reply are being started: room would be counted that they are about to fill."""

    def __len__(self) -> int:
        """How many are under way on the turns' connection."""
        return len(self._under_way)

    def send(self) -> None:
        """Send a turn with what is through and what there is room for; nothing when that is nothing."""
        slots, policy = self._slots, self._policy
        attempts = slots.collect()
        take = policy.room(len(attempts))
        # After the results, so that what a job wrote is in Redis before it is finished.
        commands, notes = self._notes.next()
        if attempts or take:
            commands.append(turn(self._holder.keys, self._request(attempts, take)))
        elif not commands:
            return
        policy.turn_sent(len(attempts), take)
        sent_at = time.monotonic()
        if not self._under_way:
            # Before it leaves: writing lets another thread have the GIL, and a handler may hold it until long after
            # Redis has run this turn.
            self._show_under_way(sent_at)
        begun = self._connection.begin(*commands, direct=self._direct)
        begun.add_done_callback(self._unread)
        self._under_way.append(Turn(attempts, take, sent_at, notes, commands, begun))

    @property
    def is_answered(self) -> bool:
        """Whether `read` need not wait."""
        return self._under_way[0].begun.done()

    async def read(self) -> None:
        """Take the answer of the oldest turn under way. Raises as Connection.finish; the turn then stays."""
        under_way = self._under_way[0]
        calls = under_way.calls
        self.landed(await self._connection.finish(under_way.commands, under_way.begun, may_refuse=calls))

    def landed(self, results: list[Any]) -> None:
        """Take the results of the oldest turn under way."""
        under_way = self._under_way.popleft()
        attempts, take, calls = under_way.attempts, under_way.take, under_way.calls
        self._policy.turn_answered(len(attempts), take)
        if calls:
            self._notes.answered(results[:calls], under_way.notes)
        if attempts:
            self.settle(attempts, results[-1].codes)
        if take:
            self._took(results[-1], take, under_way.sent_at)
        self._show_under_way()

    async def recheck(self) -> None:
        """Start those jobs of a late reply whose locks are still ours."""
        jobs = self._late
        pairs = [(job.id, job.token) for job in jobs]
        (answers,) = await self._connection.run(renew_locks(self._holder.keys, pairs, self._slots.numbers.lock_ms))
        self._late, self._late_since = self._late[len(jobs) :], 0.0
        self._policy.came_late(0)
        self.begin([job for job, answer in zip(jobs, answers, strict=True) if answer == 1])
        self._show_under_way()

    def settle(self, attempts: list[Attempt], codes: list[int]) -> None:
        """Take note of the codes: accepted, refused for good, or to be sent again as a failure."""
        finals = count_finals(attempts, codes)
        again = refused(attempts, codes) if any(codes) else []
        self._slots.settle([attempt for attempt in attempts if attempt not in again] if again else attempts)
        self._slots.end_otherwise(again)
        # Behind the slots: the daemon counts what it finds in one, if this process is killed here.
        self._board.count_finals(*finals)

    def begin(self, jobs: list[Taken]) -> None:
        """Start these jobs in the slots."""
        if jobs:
            self.starting = True
            try:
                self._slots.start(jobs, time.time_ns() // 1_000_000)
            finally:
                self.starting = False

    # --- the turn sent ahead, behind the wait for a marker -----------------------------------------------------------

    def ahead(self, clock_ms: int) -> Command[TurnReply] | None:
        """Return the turn that goes behind the wait for a marker; None while anything runs or is under way.

        It may run at any moment, and then its jobs are held by this worker and shown nowhere. So the board says that a
        turn is under way, sent at the last beat: while the loop beats the reply is read at once, and once it does not,
        the daemon finds the locks by their prefix.
        """
        take = self._policy.ahead_size()
        if not take:
            return None
        request = self._request([], take)
        request.clock_ms = clock_ms
        self._policy.ahead_sent(take)
        self._ahead_since = time.monotonic()
        self._show_under_way()
        return turn(self._holder.keys, request)

    def ahead_landed(self, reply: TurnReply) -> None:
        """Take what the turn sent ahead has brought."""
        self._took(reply, self._policy.ahead_answered(), self._ahead_since)
        self._show_under_way()

    def beat(self, now: float) -> None:
        """The loop turns: what is sent ahead counts as sent now."""
        if self._policy.ahead:
            self._ahead_since = now
            self._show_under_way()

    # --- when replies are lost ---------------------------------------------------------------------------------------

    def lost(self) -> list[Turn]:
        """Forget all that is under way and return the turns; the board goes on saying that they may hold jobs."""
        lost = list(self._under_way)
        self._under_way.clear()
        self._late, self._late_since = [], 0.0
        return lost

    def without_take(self, attempts: list[Attempt]) -> Command[TurnReply]:
        """Return a turn with these results alone: all of a lost one that may be sent again."""
        return turn(self._holder.keys, self._request(attempts, 0))

    def found(self) -> None:
        """What lost turns had taken is found: no reply may hold jobs any more."""
        self._board.turn_sent(0.0)

    # -----------------------------------------------------------------------------------------------------------------

    def _request(self, attempts: list[Attempt], take: int) -> TurnRequest:
        slots, holder = self._slots, self._holder
        return TurnRequest(
            time.time_ns() // 1_000_000, slots.numbers.lock_ms, holder.token_prefix, holder.name,
            [attempt.finish for attempt in attempts if attempt.finish is not None], take, self._policy.busy(),
            slots.limiter, per_key=slots.numbers.per_key,
        )  # fmt: skip

    def heard(self) -> None:
        """Show that Redis answers: a take, or the wait for a marker."""
        self._board.fetched(time.monotonic())

    def _took(self, reply: TurnReply, take: int, sent_at: float) -> None:
        if reply.jobs and time.monotonic() - sent_at > self._slots.numbers.lock_ms / 3000:
            # Read so late that others may have them.
            self._late += reply.jobs
            self._late_since = self._late_since or sent_at
            self._policy.came_late(len(reply.jobs))
        else:
            self.begin(reply.jobs)
        self.heard()
        policy = self._policy
        policy.took(reply, take)
        if policy.supply is Supply.NONE and not policy.is_taking:
            self._nothing_left(reply.next_due_ms)

    def _show_under_way(self, sending: float = 0.0) -> None:
        """Show since when a reply may lie here unread: it may hold jobs that no slot shows."""
        since = self._under_way[0].sent_at if self._under_way else sending
        if self._policy.ahead or self._late_since:
            ahead = self._ahead_since if self._policy.ahead else 0.0
            since = min((at for at in (self._late_since, ahead, since) if at), default=0.0)
        self._board.turn_sent(since)
