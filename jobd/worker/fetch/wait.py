"""Wait for work: the worker's second connection, blocked in Redis on the queue's marker.

What markers mean: docs/wire-format.md, "The marker".

A worker that runs nothing sends its next turn along, behind the wait: Redis runs it the moment a marker comes, and the
job is on its way while other workers would only hear that there is one (docs/decisions/0005-turn-behind-the-wait.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import RedisError

from jobd.engine.inspect import worker_name
from jobd.engine.job import TurnReply
from jobd.errors import JobdError, RedisUnavailable
from jobd.worker.fetch.connection import Connection

if TYPE_CHECKING:
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Command
    from jobd.locate import RedisSource

POLL_S = 5.0
"""Longest wait without a known due time: BullMQ's drainDelay. A lost marker costs at most that."""

LONGEST_WAIT_S = 10.0
"""Longest wait for a known due time, as BullMQ's."""

SHORTEST_WAIT_S = 0.002
"""Shorter timeouts block for ever on Redis before 7.0.8."""

UNBLOCK_AGAIN_S = (0.001, 0.005, 0.02, 0.05)
"""Pauses between tries to unblock; who still waits after the last is cut off."""

LEAVE_S = 0.3
"""How long an ending worker waits for its wait to be over; Redis answers an UNBLOCK at once, or is gone."""

BUSY_PAUSE_S = 0.002
"""A worker that has just begun a job waits this long before it blocks: most jobs end sooner, and then it runs nothing
and can send its turn along."""

RETRY_S = 0.25
"""Between two tries to open the connection; the turn's own connection tells that Redis is away."""


def client_name(keys: Keys, name: str) -> str:
    """Return the name of the connection of a worker of this name."""
    return f"{worker_name(keys)}:w:{name}"


ASK_EVERY_S = 60.0
"""Clocks that are kept drift by less than a millisecond in that time."""

STEP_S = 0.005
"""A wall clock that moved this much against the monotonic one was set: ask again at once."""


class Taker(Protocol):
    """Whose wait it is: the turn loop."""

    def wants_marker(self) -> bool:
        """Whether it could use a job. Asked again when a marker came: one that nobody here can use is put back."""

    def look_again(self) -> None:
        """There may be work."""

    def waited(self) -> None:
        """Redis has answered the wait, whatever it said."""

    def turn_ahead(self, clock_ms: int) -> Command[TurnReply] | None:
        """Return the turn to send behind the wait, None for only waiting. It counts as sent."""

    def landed(self, reply: TurnReply) -> None:
        """Take what the turn sent ahead has brought."""

    def lost_ahead(self, error: JobdError) -> None:
        """Know that the answer to the turn sent ahead is lost: whether it took jobs is unknown."""


@dataclass(slots=True)
class _Ahead:
    """A wait with a turn behind it, under way. `begun` hears of replies that were not taken where they came in."""

    turn: Command[TurnReply]
    begun: asyncio.Future[list[Any]]
    is_landed: bool = False


class MarkerWait:
    """Blocks on the marker while the taker wants one."""

    def __init__(self, source: RedisSource, keys: Keys, worker_name: str, taker: Taker, clock: RedisClock) -> None:
        self._connection = Connection(source, client_name(keys, worker_name), key=keys.base)
        self._keys = keys
        self._taker = taker
        self._clock = clock
        self._asked = asyncio.Event()
        self._next_due_ms: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._resting = False
        self._parked = False
        """Whether `run` does nothing until it is asked."""
        self._ahead: _Ahead | None = None
        """The turn that lies in Redis behind the wait."""
        self._failure: Exception | None = None
        """What the taker died of there."""
        self._free = asyncio.Event()
        self._free.set()
        self.give_up_at = 0.0
        """When a wait in flight has been unanswered for too long (monotonic); 0: none."""

    @property
    def connection(self) -> Connection:
        """The connection it waits on."""
        return self._connection

    @property
    def blocked_client(self) -> int:
        """Redis' number of the connection that is blocked now; 0 when none is."""
        return self._connection.client_id if self.give_up_at else 0

    def ask(self, next_due_ms: int | None, *, busy: bool = False) -> None:
        """Want the next marker, or the moment (wall clock, ms) the first delayed job is due."""
        self._expect(next_due_ms)
        self._resting = False
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if busy:
            self._soon = asyncio.get_running_loop().call_later(BUSY_PAUSE_S, self._begin_or_ask)
        else:
            self._begin_or_ask()

    def drop(self) -> None:
        """Break off: the connection is closed, whatever it waits for."""
        self._connection.drop()

    def rest(self) -> None:
        """Close the connection once nothing waits on it, until asked again: this worker is quiet."""
        self._resting = True
        self._asked.set()

    async def unblock(self, through: Connection) -> None:
        """End the wait inside Redis, by another connection; what came in that very moment is still read.

        Raises:
            RedisUnavailable: as Connection.words.
        """
        for pause in UNBLOCK_AGAIN_S:
            if not self.blocked_client:
                return
            (ended,) = await through.words(("CLIENT", "UNBLOCK", self.blocked_client))
            if ended == 1:
                return
            # Not blocked yet, perhaps: Redis reads two connections in any order.
            await asyncio.sleep(pause)
        if self.blocked_client:
            self._connection.drop()

    async def left(self) -> None:
        """Return when nothing waits in Redis any more, or after LEAVE_S."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._free.wait()

    async def run(self) -> None:
        """Wait whenever asked to, until cancelled. Raises what the taker raises."""
        while True:
            self._parked = True
            await self._asked.wait()
            self._parked = False
            if self._failure is not None:
                raise self._failure
            try:
                if await (self._serve() if self._ahead is None else self._ended(self._ahead)):
                    self._taker.look_again()
            except JobdError:
                self._connection.drop()
                await asyncio.sleep(RETRY_S)
                self._taker.look_again()

    async def _serve(self) -> bool:
        """Do what was asked; return whether to look for work."""
        self._asked.clear()
        if self._resting:
            self._connection.drop()
            return False
        # Open even when there is no need to wait yet: BullMQ lists workers by this connection.
        if not self._connection.is_open:
            await self._connection.open()
        await self._clock.follow(self._connection)
        return self._taker.wants_marker() and await self._wait()

    def _expect(self, due_ms: float | None) -> None:
        """Call `look_again` at that moment too: Redis looks at the ends of waits only every 100 ms."""
        self._next_due_ms = due_ms
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due_ms is not None and (rest := (due_ms - _now_ms()) / 1000) < LONGEST_WAIT_S:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, rest), self._taker.look_again)

    def _earlier(self, due_ms: float) -> float:
        known = self._next_due_ms
        return due_ms if known is None or known < _now_ms() else min(known, due_ms)

    def _begin_or_ask(self) -> None:
        """Wait with a turn behind it, here and now, where `run` need not be asked: the usual case of an idle worker."""
        idle = self._parked and self._ahead is None and not self._asked.is_set()
        can = idle and self._connection.is_open and self._clock.is_fresh and self._taker.wants_marker()
        if not (can and self._begin()):
            self._asked.set()

    def _begin(self) -> _Ahead | None:
        """Send a wait and a turn behind it; None where there is no turn to send."""
        # Without its number the connection could not be unblocked when the worker goes quiet.
        if self._clock.ahead_ms is None or not self._connection.client_id:
            return None
        turn = self._taker.turn_ahead(self._clock.ahead_ms)
        if turn is None:
            return None
        begun = self._connection.begin_words((self._blocking(), turn.parts()), self._came)
        begun.add_done_callback(self._heard)
        self._ahead = _Ahead(turn, begun)
        return self._ahead

    def _heard(self, _: object) -> None:
        if self._parked:  # else `run` awaits it
            self._asked.set()

    def _came(self, replies: list[Any]) -> bool:
        """Take the replies where they come in: the job starts a turn or two of the event loop earlier."""
        ahead = self._ahead
        if ahead is None or any(isinstance(reply, RedisError) for reply in replies):
            return False
        unheard = self._parked
        if unheard:
            self._over()
        try:
            ahead.is_landed = True
            self._land(ahead.turn, *replies)
        except Exception as error:  # the caller is the connection's transport
            self._failure = error
            self._asked.set()
        return unheard

    async def _ended(self, ahead: _Ahead) -> bool:
        """Read the replies to what was begun; return whether to look for work."""
        try:
            replies = await self._connection.answer(ahead.begun)
        except JobdError as error:
            self._taker.lost_ahead(error)
            raise
        finally:
            self._over()
        return not ahead.is_landed and self._land(ahead.turn, *replies)

    def _blocking(self) -> tuple[str, ...]:
        """Return the command that waits, and note that it is under way."""
        timeout = self._timeout_s()
        self.give_up_at = time.monotonic() + timeout + POLL_S
        self._free.clear()
        return "BZPOPMIN", self._keys.marker, f"{timeout:.3f}"

    def _over(self) -> None:
        self.give_up_at = 0.0
        self._ahead = None
        self._free.set()

    async def _wait(self) -> bool:
        """Wait in Redis until there is more than a moment to come; return whether to look for work."""
        # A busy worker with a free slot meets such a marker at every delayed job that is added.
        while (found := await self._wait_once()) is None:
            pass
        return found

    async def _wait_once(self) -> bool | None:
        """Wait in Redis; return whether to look for work: not when a turn went along, or somebody asked meanwhile.

        None: wait again, only a moment came that is not there yet.
        """
        if ahead := self._begin():
            return await self._ended(ahead)
        try:
            (reply,) = await self._connection.words(self._blocking())
        finally:
            self._over()
        if isinstance(reply, RedisError):
            raise RedisUnavailable(f"Redis refused to block: {reply}") from reply
        # Delayed jobs that are added may end one wait after the other, and there is nothing to take for hours.
        self._taker.waited()
        if reply is None:
            return not self._asked.is_set()
        return await self._use(reply)

    def _land(self, turn: Command[TurnReply], marker: Any, reply: Any) -> bool:
        refused = isinstance(reply, RedisError)
        # A refused one did not run, and an ordinary turn meets the same refusal and tells of it.
        self._taker.landed(TurnReply([], []) if refused else turn.read(reply))
        if isinstance(marker, list) and (due := float(marker[2])) > _now_ms():
            # The marker was a moment, and it is gone from Redis: nobody else will think of it.
            self._expect(self._earlier(due))
        return refused

    async def _use(self, reply: list[Any]) -> bool | None:
        member, score = reply[1], float(reply[2])
        if not self._taker.wants_marker():
            await self._connection.words(("ZADD", self._keys.marker, reply[2], member))
        elif score > _now_ms():
            # Not work yet but a moment; the earlier one counts, and the turn at that moment promotes the job.
            self._expect(self._earlier(score))
            return None
        return True

    def _timeout_s(self) -> float:
        if self._next_due_ms is None:
            return POLL_S
        return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, (self._next_due_ms - _now_ms()) / 1000))


class RedisClock:
    """What time it is for Redis. `ahead_ms` is how far this host's clock is before its; None until it told its time, or
    where it may not be asked.
    """

    def __init__(self) -> None:
        self.ahead_ms: int | None = None
        self._asked_at = 0.0
        self._offset_s = 0.0
        self._redis_ms = 0.0

    def now_ms(self) -> int | None:
        """Return its time by what it told last, whatever was done to this host's clock since; None: it is unknown."""
        if self.ahead_ms is None:
            return None
        return round(self._redis_ms + (time.monotonic() - self._asked_at) * 1000)

    @property
    def is_fresh(self) -> bool:
        """Whether the last answer is young and no clock was set since."""
        now = time.monotonic()
        offset = time.time() - now
        return bool(self._asked_at) and now - self._asked_at < ASK_EVERY_S and abs(offset - self._offset_s) < STEP_S

    async def follow(self, connection: Connection) -> None:
        """Ask when the answer is old or a clock was set; else return at once.

        Raises:
            RedisUnavailable: the connection broke.
        """
        if self.is_fresh:
            return
        now = time.monotonic()
        offset = time.time() - now
        before = time.time()
        (reply,) = await connection.words(("TIME",))
        after = time.time()
        self._asked_at, self._offset_s = now, offset
        self.ahead_ms = None
        if not isinstance(reply, RedisError):
            self._redis_ms = int(reply[0]) * 1000 + int(reply[1]) / 1000
            self.ahead_ms = ahead_of_redis_ms(before, self._redis_ms, after)


def ahead_of_redis_ms(before: float, redis_ms: float, after: float) -> int:
    """Return how far this host's clock is before Redis', which said `redis_ms` between two looks at ours (in seconds).

    0 when it may have said so with the same clock: a worker that was slow to read the answer would add its delay to the
    time of every job.
    """
    return 0 if before * 1000 <= redis_ms <= after * 1000 else round((before + after) * 500 - redis_ms)


def _now_ms() -> float:
    return time.time() * 1000
