"""The fetch loop: does what the fetch policy decides, on the turns' connection.

One turn finishes what is through and takes what there is room for. Results that arrive while turns are under way ride
in the next one, so batches grow by themselves under load.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.job import TurnRequest
from jobd.engine.locks import renew_locks
from jobd.engine.scripts import script
from jobd.engine.trouble import Trouble
from jobd.engine.turn import turn
from jobd.errors import JobdError, RedisRefused, RedisUnavailable
from jobd.worker.fetch.connection import Connection
from jobd.worker.fetch.fetch_policy import FetchPolicy, Link, Order, ReconnectDelay, Step, Supply
from jobd.worker.fetch.notes import Notes
from jobd.worker.fetch.recovery import adopt, settled_or_code
from jobd.worker.fetch.wait import MarkerWait
from jobd.worker.own_log import log
from jobd.worker.pulse import Pulse
from jobd.worker.run.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.engine.job import Taken, TurnReply
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command
    from jobd.engine.turn import Note
    from jobd.locate import RedisSource
    from jobd.protocol.board import BoardWriter
    from jobd.worker.run.attempt import Attempt
    from jobd.worker.run.slots import Slots

BEAT_S = 1.0
"""How often the loop shows that it turns."""

UNANSWERED_BEATS = 4
"""Beats after which a turn counts as lost. Not seconds: while a handler holds the GIL, the answer lies here unread."""


@dataclass(slots=True)
class Turn:
    """A turn, or notes alone, under way; `begun` gets the raw replies."""

    attempts: list[Attempt]
    take: int
    sent_at: float
    notes: list[Note]
    commands: list[Command[Any]]
    begun: asyncio.Future[list[Any]]


class FetchLoop:
    """Fetches and finishes for one worker.

    `report` is told when Redis goes away or comes back (up, why, which trouble), and with `up` true and a trouble when
    it refuses notes.
    """

    def __init__(
        self, source: RedisSource, keys: Keys, board: BoardWriter, *, worker_name: str, token_prefix: str,
        report: Callable[[bool, str | None, str | None], None],
    ) -> None:  # fmt: skip
        self._keys = keys
        self._name = worker_name
        self._token_prefix = token_prefix
        self._board = board
        self._report = report
        client_name = f"jobd-turn:{token_prefix.rstrip(':')}"
        scripts = (script("turn"), script("annotate"))
        self._connection = Connection(source, client_name, scripts, self._closed, key=keys.base)
        self._marker = MarkerWait(source, keys, worker_name, self)
        self._slots: Slots
        self._policy: FetchPolicy
        self._notes: Notes
        self._turns: deque[Turn] = deque()
        self._late: list[Taken] = []
        self._late_since = self._ahead_since = 0.0
        self._lost: list[list[Attempt]] = []
        """Results of lost turns, each turn's by itself, until they are known to be in Redis."""
        self._delay = ReconnectDelay()
        self._outage = False
        """Whether the daemon and the log have been told that Redis is away."""
        self._starting = False
        self._woken: asyncio.Future[None] | None = None
        self._signal = False
        self._failure: Exception | None = None
        self._quieted: Callable[[], None] | None = None
        self._pulse = Pulse(board)

    def attach(self, slots: Slots) -> None:
        """Serve these slots."""
        self._slots = slots
        self._policy = FetchPolicy(slots)
        self._policy.resized(slots.numbers.most)
        self._notes = Notes(self._keys, slots.notes, refused=self._notes_refused)

    async def connect(self) -> bool:
        """Open the connection; return whether Redis is there. When not, the loop keeps trying."""
        try:
            await self._connection.open()
        except JobdError as error:
            self._went_down(error, tell=False)
            return False
        self._policy.recovered()
        return True

    # --- what the worker's life asks for -----------------------------------------------------------------------------

    def quiet(self, then: Callable[[], None] | None = None) -> None:
        """Take nothing more; `then` is called once no take is under way."""
        self._policy.ordered(Order.QUIET)
        self._quieted = then
        self.wake()

    def resume(self) -> None:
        """Take again."""
        self._policy.ordered(Order.TAKE)
        self._quieted = None
        self._marker.ask(None)
        self.wake()

    def end(self, then: Callable[[], None] | None = None) -> None:
        """End `run` as soon as every result in hand is in Redis and nothing runs; `then` as for `quiet`."""
        self._policy.ordered(Order.END)
        self._quieted = then
        self.wake()

    def look_again(self) -> None:
        """Ask for jobs again: there may be some, or more slots, or another limiter."""
        self._policy.resized(self._slots.numbers.most)
        self._policy.look_again()
        self.wake()

    def wake(self) -> None:
        """Look for something to do; harmless at any time on the loop's thread. Called for every job that ends."""
        self._signal = True
        woken, policy = self._woken, self._policy
        if woken is not None and not woken.done():
            woken.set_result(None)
            # Nothing else runs that could ride along: sent here and now, a turn of the event loop earlier.
            if policy.has_news() and not self._slots.running and policy.link is Link.OPEN:
                self._send_now()
        elif policy.sends_another():
            self._send_now()

    def _send_now(self) -> None:
        # While jobs of a reply are being started, room would be counted that they are about to fill.
        if self._starting or not self._connection.is_open:
            return
        try:
            self._send()
        except Exception as error:
            # The caller is a callback of the event loop, where it would end as a line in the log.
            self._failure = error

    async def run(self) -> None:
        """Turn until `end`, beating and waiting for markers beside it; what one of these dies of ends the worker."""
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._beat()), group.create_task(self._marker.run())]
                await self._turn_until_over()
                for task in beside:
                    task.cancel()
        finally:
            self._marker.drop()
            self._connection.drop()

    async def _turn_until_over(self) -> None:
        while (step := self._policy.next_step()) is not Step.END:
            if self._failure is not None:
                raise self._failure
            if self._quieted is not None and self._policy.is_quiet():
                self._tell_quieted()
            try:
                await self._do(step)
            except JobdError as error:
                self._went_down(error)
        await self._leave()

    async def _do(self, step: Step) -> None:
        if step is Step.SEND:
            self._send()
        elif step is Step.READ:
            await self._read()
        elif step is Step.SLEEP:
            await self._sleep()
        elif step is Step.RECHECK:
            await self._recheck()
        elif step is Step.UNBLOCK:
            self._policy.ahead_is_due()
            await self._marker.unblock(self._connection)
            await self._marker.left()
        elif step is Step.REOPEN:
            await self._connection.open()
            self._policy.reopened()
        elif step is Step.RECOVER:
            await self._recover()

    async def _leave(self) -> None:
        """Give back a marker that came in the last moment; without Redis there is none."""
        try:
            if self._connection.is_open:
                await self._marker.unblock(self._connection)
            await self._marker.left()
        except JobdError as error:
            log.debug("redis went away at the end: %s", error)

    async def _sleep(self) -> None:
        """Do nothing until woken; a quiet worker waits for no marker meanwhile."""
        policy = self._policy
        if policy.order is not Order.TAKE:
            await self._marker.unblock(self._connection)
            self._marker.rest()
        if self._signal:
            self._signal = False
            return
        loop = asyncio.get_running_loop()
        self._woken = loop.create_future()
        rest = policy.limit_s()
        timer = None if rest is None else loop.call_later(rest, self.look_again)
        try:
            await self._woken
        finally:
            self._woken = None
            if timer is not None:
                timer.cancel()
        policy.slept()

    def _tell_quieted(self) -> None:
        then, self._quieted = self._quieted, None
        if then is not None:
            then()

    # --- one turn ----------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send a turn with what is through and what there is room for; nothing when that is nothing."""
        slots, policy = self._slots, self._policy
        attempts = slots.collect()
        take = policy.room(len(attempts))
        # After the results, so that what a job wrote is in Redis before it is finished.
        commands, notes = self._notes.next()
        if attempts or take:
            commands.append(turn(self._keys, self._request(attempts, take)))
        elif not commands:
            return
        policy.turn_sent(len(attempts), take)
        sent_at = time.monotonic()
        if not self._turns:
            # Before it leaves: writing lets another thread have the GIL, and a handler may hold it until long after
            # Redis has run this turn.
            self._show_under_way(sent_at)
        self._turns.append(Turn(attempts, take, sent_at, notes, commands, self._connection.begin(*commands)))

    def _request(self, attempts: list[Attempt], take: int) -> TurnRequest:
        slots = self._slots
        return TurnRequest(
            time.time_ns() // 1_000_000, slots.numbers.lock_ms, self._token_prefix, self._name,
            [attempt.finish for attempt in attempts if attempt.finish is not None], take, self._policy.busy(),
            slots.limiter, per_key=slots.numbers.per_key,
        )  # fmt: skip

    async def _read(self) -> None:
        """Take the answer of the oldest turn under way."""
        under_way = self._turns[0]
        calls = len(under_way.commands) - bool(under_way.attempts or under_way.take)
        results = await self._connection.finish(under_way.commands, under_way.begun, may_refuse=calls)
        self._turns.popleft()
        attempts, take = under_way.attempts, under_way.take
        self._policy.turn_answered(len(attempts), take)
        if calls:
            self._notes.answered(results[:calls], under_way.notes)
        if attempts:
            self._settled(attempts, results[-1].codes)
        if take:
            self._took(results[-1], take, under_way.sent_at)
        self._delay.worked()
        self._show_under_way()

    def _settled(self, attempts: list[Attempt], codes: list[int]) -> None:
        """Take note of the codes: accepted, refused for good, or to be sent again as a failure."""
        again = refused(attempts, codes) if any(codes) else []
        self._slots.ended += again
        self._slots.settle([attempt for attempt in attempts if attempt not in again] if again else attempts)

    def _took(self, reply: TurnReply, take: int, sent_at: float) -> None:
        if reply.jobs and time.monotonic() - sent_at > self._slots.numbers.lock_ms / 3000:
            # Read so late that others may have them.
            self._late += reply.jobs
            self._late_since = self._late_since or sent_at
            self._policy.came_late(len(reply.jobs))
        else:
            self._begin(reply.jobs)
        self._board.fetched(time.monotonic())
        policy = self._policy
        policy.took(reply, take)
        if policy.supply is Supply.NONE and not policy.is_taking:
            self._marker.ask(reply.next_due_ms, busy=bool(self._slots.running))

    def _begin(self, jobs: list[Taken]) -> None:
        if jobs:
            self._starting = True
            try:
                self._slots.start(jobs, time.time_ns() // 1_000_000)
            finally:
                self._starting = False

    async def _recheck(self) -> None:
        """Start those jobs of a late reply whose locks are still ours."""
        jobs = self._late
        pairs = [(job.id, job.token) for job in jobs]
        (answers,) = await self._connection.run(renew_locks(self._keys, pairs, self._slots.numbers.lock_ms))
        self._late, self._late_since = self._late[len(jobs) :], 0.0
        self._policy.came_late(0)
        self._begin([job for job, answer in zip(jobs, answers, strict=True) if answer == 1])
        self._show_under_way()

    def _show_under_way(self, sending: float = 0.0) -> None:
        """Show since when a reply may lie here unread: it may hold jobs that no slot shows."""
        ahead = self._ahead_since if self._policy.ahead else 0.0
        oldest = self._turns[0].sent_at if self._turns else sending
        self._board.turn_sent(min((at for at in (self._late_since, ahead, oldest) if at), default=0.0))

    # --- the turn sent ahead, behind the wait for a marker -----------------------------------------------------------

    def wants_marker(self) -> bool:
        """Whether a marker is of use."""
        return self._policy.wants_marker()

    def turn_ahead(self, clock_ms: int) -> Command[TurnReply] | None:
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
        return turn(self._keys, request)

    def landed(self, reply: TurnReply) -> None:
        """Take what the turn sent ahead has brought."""
        self._took(reply, self._policy.ahead_answered(), self._ahead_since)
        self._show_under_way()
        self.wake()

    def lost_ahead(self, error: JobdError) -> None:
        """Look for what the turn sent ahead may have taken, as after any lost reply."""
        if self._policy.link is not Link.LOST:
            self._went_down(error)
            self.wake()

    # --- Redis away --------------------------------------------------------------------------------------------------

    def _closed(self) -> None:
        self._policy.connection_closed()
        self.wake()

    def _went_down(self, error: JobdError, *, tell: bool = True) -> None:
        """Give both connections up; what was under way is found again by `_recover`.

        The board goes on saying that a turn is under way: until then it may hold jobs.
        """
        self._connection.drop()
        for under_way in self._turns:
            self._notes.lost(under_way.notes)
            if under_way.attempts:
                self._lost.append(under_way.attempts)
        self._turns.clear()
        self._late, self._late_since = [], 0.0
        self._policy.connection_lost(unsettled=bool(self._lost or self._notes.unconfirmed))
        # Else it would be found dead after the return, by a turn sent along, and that would pass for another outage.
        self._marker.drop()
        self._delay.failed(error)
        if not self._moved(error):
            self._tell_outage(error, tell=tell)

    def _moved(self, error: JobdError) -> bool:
        """Whether this server is ours no more, told for the first time: another may answer at the same address."""
        told = error.trouble if isinstance(error, RedisRefused | RedisUnavailable) else ""
        return told in (Trouble.READ_ONLY, Trouble.MOVED) and not self._delay.is_second

    def _tell_outage(self, error: JobdError, *, tell: bool = True) -> None:
        if self._outage:
            return
        self._outage = True
        self._board.redis_down(time.monotonic())
        log.warning("redis is away: %s", error)
        if tell:
            self._report(False, str(error), _trouble(error))

    async def _recover(self) -> None:
        """Reconnect, then find out what the lost turns did before anything new is asked for."""
        while not self._connection.is_open:
            if self._policy.order is not Order.TAKE:
                self._tell_quieted()
            if self._policy.is_over():
                return
            await asyncio.sleep(self._delay.next_s())
            try:
                await self._connection.open()
                # A lost turn may still lie unread in its old connection; behind this it cannot run any more.
                await self._connection.end_lost([self._marker.connection])
            except JobdError as error:
                log.debug("redis is still away: %s", error)
                self._connection.drop()
                self._tell_outage(error)
        await self._send_lost()
        who, held = (self._name, self._token_prefix), self._slots.held()
        jobs = await adopt(self._connection, self._keys, who, held=held, lock_ms=self._slots.numbers.lock_ms)
        self._policy.recovered()
        self._begin(jobs)
        self._board.turn_sent(0.0)
        if self._outage:
            self._outage = False
            self._board.redis_down(0.0)
            log.info("redis is back")
            self._report(True, None, None)

    async def _send_lost(self) -> None:
        """Send what lost turns were to bring, without a take."""
        commands, notes = self._notes.next()
        calls, lost = len(commands), list(self._lost)
        commands += [turn(self._keys, self._request(attempts, 0)) for attempts in lost]
        if not commands:
            return
        try:
            results = await self._connection.run(*commands, may_refuse=calls)
        except JobdError:
            self._notes.lost(notes)
            raise
        self._notes.answered(results[:calls], notes)
        del self._lost[: len(lost)]
        for attempts, reply in zip(lost, results[calls:], strict=True):
            self._settled(attempts, settled_or_code(reply.codes))

    def _notes_refused(self, why: RedisRefused | None) -> None:
        self._report(True, None if why is None else str(why), None if why is None else why.trouble)

    # --- beside it ---------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Show that the loop turns; break off what Redis has left unanswered for too long."""
        unanswered: object | None = None
        beats = 0
        while True:
            now = time.monotonic()
            self._board.beat(now)
            self._pulse.start_if_useful()
            if self._policy.ahead:
                self._ahead_since = now
                self._show_under_way()
            oldest = self._connection.oldest
            beats = beats + 1 if oldest is not None and oldest is unanswered else int(oldest is not None)
            unanswered = oldest
            if beats >= UNANSWERED_BEATS:
                self._connection.drop()
            if self._marker.give_up_at and now > self._marker.give_up_at:
                self._marker.drop()
            await asyncio.sleep(BEAT_S)


def _trouble(error: JobdError) -> str | None:
    return error.trouble if isinstance(error, RedisRefused | RedisUnavailable) else None
