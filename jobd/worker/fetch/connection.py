"""One connection to Redis on which commands are sent once and every wait has an end.

redis-py opens it (addresses, authentication, TLS); nothing is retried here: what a lost answer means is the caller's to
decide.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, NoScriptError, RedisError

from jobd.engine.connect import raw_connection
from jobd.engine.trouble import Trouble, is_demoted, translate
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.worker import forks
from jobd.worker.fetch.resp import Replies, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jobd.engine.runner import Command
    from jobd.engine.scripts import Script
    from jobd.locate import RedisSource
    from jobd.worker.fetch.resp import Direct

OPEN_LIMIT_S = 2.0
"""Opening a connection takes less, or Redis is as good as away: consumption must resume 2 s after its return."""


class Connection:
    """A connection that is open or closed; `client_id` is Redis' number of it since it was last opened.

    `lost_clients` are numbers of earlier connections that ended with a request under way. Redis may still run what lies
    unread in one of them, so each stays here until `end_lost` knows it dead.
    """

    def __init__(
        self, source: RedisSource, client_name: str, scripts: Sequence[Script] = (),
        closed: Callable[[], None] = lambda: None, *, key: str = "",
    ) -> None:  # fmt: skip
        """`scripts` are made known to Redis at each opening: one that is missing would run after its followers.

        `key` is one of those asked for: on a Cluster it says which server.
        `closed` is called when the server closes it while nothing is under way.
        """
        self.name = client_name
        self._source = source
        self._key = key
        self._scripts = scripts
        self._closed = closed
        self._redis_py: Any = None
        self._replies: Replies | None = None
        self.client_id = 0
        self.lost_clients: set[int] = set()
        forks.withhold(self)

    def fileno(self) -> int:
        """Return the descriptor of the connection, -1 while it is closed."""
        writer = self._redis_py._writer if self._redis_py is not None else None
        return writer.get_extra_info("socket").fileno() if writer is not None else -1

    @property
    def is_open(self) -> bool:
        """Whether it was opened and has not failed since."""
        return self._replies is not None and not self._replies.lost

    @property
    def oldest(self) -> object | None:
        """What has waited longest for an answer; None when nothing is under way."""
        return self._replies.oldest if self._replies is not None else None

    async def open(self) -> None:
        """Open it anew; an old connection is dropped first.

        Raises:
            RedisUnavailable: nobody answers in time.
            RedisRefused: the credentials or the name were refused.
        """
        self.drop()
        self.client_id = 0
        redis_py = raw_connection(self._source, key=self._key, client_name=self.name)
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await redis_py.connect()  # type: ignore[no-untyped-call]
                self._redis_py = redis_py
                self._replies = Replies(self._redis_py._writer.transport, self._closed)
                await self._introduce()
        except TimeoutError as error:
            self._give_up(redis_py)
            raise RedisUnavailable(f"Redis did not answer within {OPEN_LIMIT_S:g}s") from error
        except (RedisError, OSError) as error:
            self._give_up(redis_py)
            told = translate(error)
            if told.trouble is Trouble.CREDENTIALS and self._source.renewal is not None:
                self._source.renewal.refused()
            raise told from error
        except BaseException:
            self._give_up(redis_py)
            raise

    async def _introduce(self) -> None:
        """Load the scripts and learn our number; 0 where that is not permitted."""
        loads = [("SCRIPT", "LOAD", script.source) for script in self._scripts]
        *loaded, number = await self.words(*loads, ("CLIENT", "ID"))
        for reply in (*loaded, number):
            if isinstance(reply, RedisError) and not isinstance(reply, NoPermissionError):
                raise reply
        self.client_id = number if isinstance(number, int) else 0

    async def words(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands in one write and return their raw replies; an error reply is returned, not raised.

        Raises:
            RedisUnavailable: the connection broke; whether anything ran is unknown. It is closed now.
        """
        return await self.answer(self.begin_words(commands))

    def begin(self, *commands: Command[Any], direct: Direct | None = None) -> asyncio.Future[list[Any]]:
        """Send commands in one write, now; `finish` awaits what this returns, and meets there what went wrong.

        `direct` is offered the results where they come in, unless one of them is an error; what it takes is not to be
        awaited.
        """

        def offer(replies: list[Any]) -> bool:
            if direct is None:
                return False
            for reply in replies:
                if isinstance(reply, RedisError):
                    return False
            try:
                results = [command.read(reply) for command, reply in zip(commands, replies, strict=True)]
            except Exception:  # `finish` meets it again, where it is known what to do
                return False
            return direct(results)

        return self.begin_words([command.parts() for command in commands], offer)

    async def finish(
        self, commands: Sequence[Command[Any]], begun: asyncio.Future[list[Any]], *, may_refuse: int = 0
    ) -> list[Any]:
        """Return the results of commands that were begun; a script Redis does not know is loaded and sent again.

        Args:
            may_refuse: of the first that many commands a refusal is a result: a RedisRefused in its place.
        Raises:
            RedisUnavailable: as `words`.
            RedisRefused: one of them got an error; the others may have run.
        """
        replies = await self.answer(begun)
        results: list[Any] = []
        for index, (command, reply) in enumerate(zip(commands, replies, strict=True)):
            found = reply
            if isinstance(found, NoScriptError) and command.script is not None:
                # It did not run, so sending it again is sending it once.
                found = (await self.words(("SCRIPT", "LOAD", command.script.source), command.parts()))[1]
            if isinstance(found, RedisError):
                error = translate(found)
                if index >= may_refuse or not isinstance(error, RedisRefused) or is_demoted(found):
                    raise error from found
                results.append(error)
            else:
                results.append(command.read(found))
        return results

    async def run(self, *commands: Command[Any], may_refuse: int = 0) -> list[Any]:
        """Send commands in one write and return their results; raises as `finish`."""
        return await self.finish(commands, self.begin(*commands), may_refuse=may_refuse)

    def begin_words(self, commands: Sequence[Sequence[Any]], direct: Direct | None = None) -> asyncio.Future[list[Any]]:
        """Send commands in one write, now; `answer` awaits what this returns.

        `direct` is offered the raw replies where they come in; what it takes is not to be awaited.
        """
        if self._replies is None:
            nowhere: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
            nowhere.set_exception(RedisUnavailable("Redis is away: not connected"))
            nowhere.exception()  # nobody need read it
            return nowhere
        request = pack(commands[0]) if len(commands) == 1 else b"".join(map(pack, commands))
        return self._replies.ask(request, len(commands), direct)

    async def answer(self, begun: asyncio.Future[list[Any]]) -> list[Any]:
        """Return the raw replies to what was begun. Raises as `words`."""
        try:
            return await begun
        except (RedisError, OSError) as error:
            self._was_lost()
            self.drop()
            raise translate(error) from error
        except asyncio.CancelledError:
            # Whoever waited for the answer will not read it: it is as good as lost.
            self.drop()
            raise

    async def end_lost(self, others: Iterable[Connection] = ()) -> None:
        """End our own lost connections, and those of `others`: behind this nothing of theirs can run any more.

        A number counts only with our name: a Redis that was restarted counts anew.

        Raises:
            RedisUnavailable: as `words`; those not known dead yet are tried again the next time.
        """
        for owner in (self, *others):
            for client_id in sorted(owner.lost_clients - {self.client_id, owner.client_id if owner.is_open else 0}):
                (listed,) = await self.words(("CLIENT", "LIST", "ID", client_id))
                if isinstance(listed, bytes) and f" name={owner.name} ".encode() in listed:
                    await self.words(("CLIENT", "KILL", "ID", client_id))
                # Where it is not permitted to look or to end, another time will not be either.
                owner.lost_clients.discard(client_id)

    def drop(self) -> None:
        """Close it at once; whoever waits on it gets RedisUnavailable."""
        if self.oldest is not None:
            self._was_lost()
        redis_py, self._redis_py = self._redis_py, None
        replies, self._replies = self._replies, None
        if replies is not None:
            replies.close()
        if redis_py is not None:
            _abort(redis_py)

    def _was_lost(self) -> None:
        if self.client_id:
            self.lost_clients.add(self.client_id)

    def _give_up(self, redis_py: Any) -> None:
        self.drop()
        _abort(redis_py)


def _abort(redis_py: Any) -> None:
    # Not `disconnect`: that waits for the other side, which may be stopped.
    writer = redis_py._writer
    redis_py._writer = redis_py._reader = None
    if writer is not None:
        writer.transport.abort()
