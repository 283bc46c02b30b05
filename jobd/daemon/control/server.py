"""The control socket: who may connect, lines in, answers out. What is done is in dispatch.py.

Whatever a client sends, it gets an error and harms nobody else: a connection is one task that holds at most one line
of 1 MiB, requests of a connection are answered one after another, and a client that does not read is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.daemon.background import Background
from jobd.daemon.control import answers
from jobd.daemon.control.answers import Answers
from jobd.daemon.control.lines import PIECE, Lines
from jobd.daemon.control.listen import BACKLOG, Bound, bind, peer
from jobd.daemon.logs import event_log
from jobd.errors import JobdError, Refused
from jobd.exits import Exit
from jobd.protocol.control import (
    BadRequest,
    Request,
    encode_error,
    encode_result_parts,
    parse_request,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from jobd.protocol.control import Id

MAX_CONNECTIONS = 256
"""More are told so and closed: with a line of 1 MiB each they bound what a mad client can cost."""

_ANSWER_LIMIT_S = 2.0
"""How long `stop` lets requests that are being answered come to their end."""

_ACCEPTS_A_TURN = 16
"""Connections taken in one turn of the loop: a flood of them must not keep renewals waiting."""

_PAUSE_S = 1.0
"""How long nobody is accepted after there was no descriptor for it."""

_RESERVE = 32
"""Descriptors that connections leave free, at most a quarter of all: a worker's start and Redis need some."""

_ALWAYS_SERVED = 4
"""Connections that may use the reserve."""

_IDLE_MAX_S = 10.0
"""A connection that has asked nothing for this long is closed when another one needs its room."""

_LOG_EVERY_S = 60.0

_log = event_log(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the kernel tells it, and how to tell that client what is going on meanwhile.

    `to` and `answers` are the request that is answered and where.
    """

    uid: int
    pid: int
    to: Id
    answers: Answers
    behalf: str | None = None
    """The person for whom that program says it asks; never without the name of who runs the program."""

    @property
    def who(self) -> str:
        """The user's name, else the uid as text; "alice through www" when www's program asks for alice."""
        try:
            user = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            user = f"uid {self.uid}"
        return user if self.behalf in (None, user) else f"{self.behalf} through {user}"

    def progress(self, text: str) -> None:
        """Show one line at once, before the result."""
        self.answers.progress(self.to, text)

    async def feed(self, text: str, fed: Mapping[str, Any]) -> None:
        """As Subscriber.feed."""
        await self.answers.feed(self.to, text, fed)

    @property
    def over(self) -> asyncio.Event:
        """As Subscriber.over."""
        return self.answers.over

    def is_there(self) -> bool:
        """As Subscriber.is_there."""
        return self.answers.is_there()


class ControlServer:
    """Listens at `path` and passes every request to `answer(method, params, caller)`, which returns its result."""

    def __init__(
        self,
        path: Path,
        answer: Callable[[str, dict[str, Any], Caller], Awaitable[Mapping[str, Any]]],
        *,
        group: str | None = None,
        passed: socket.socket | None = None,
    ) -> None:
        """Prepare. Members of `group` may connect as well: then the file's mode alone decides who.

        `passed` is a socket that systemd listens on at `path`; the server does not close it.
        """
        self.path = path
        self._group = group
        self._passed = passed
        self._answer = answer
        self._bound: list[Bound] = []
        """The last one is what `path` leads to; the others are at places it led to before."""
        self._resume: asyncio.TimerHandle | None = None
        self._connections: set[_Connection] = set()
        self._background = Background()
        self._refusals = _Refusals()

    async def start(self) -> None:
        """Listen, for the owner, root and the group only; a socket that a dead daemon left is replaced.

        Raises:
            Refused: somebody answers there, or the place cannot be used.
        """
        if not self._bound:
            self._bound.append(bind(self.path, self._group, self._passed))
            self._listen()
            _log.info("control socket listens", path=str(self.path), passed=self._bound[-1].kept)

    def follow(self) -> bool:
        """Listen at `path` once more when it leads to another place by now; tell whether that was so.

        The file was removed, or a deploy flipped a symlink on the way: whoever asks by the daemon's name finds it, and
        a second daemon does not come up beside it. Places it led to before are kept while their files are there.

        Raises:
            Refused: another daemon answers there, or the place cannot be used.
        """
        if not self._bound or self._bound[-1].is_at(self.path):
            return False
        fresh = bind(self.path, self._group)
        for bound in [bound for bound in self._bound if not bound.is_at(bound.place)]:
            self._bound.remove(bound)
            asyncio.get_running_loop().remove_reader(bound.sock)
            bound.sock.close()
        self._bound.append(fresh)
        self._listen()
        _log.warning("control socket listens again", path=str(self.path), place=str(fresh.place))
        return True

    async def stop(self) -> None:
        """Stop listening, give answers under way a moment, close every connection, remove the socket."""
        bound, self._bound = self._bound, []
        if not bound:
            return
        for one in bound:
            one.remove()
        if self._resume is not None:
            self._resume.cancel()
        for one in bound:
            asyncio.get_running_loop().remove_reader(one.sock)
            if one.kept:
                continue  # who waits there is for the next daemon
            # Who connected before the file was removed is answered or closed as the others are.
            for _ in range(BACKLOG // _ACCEPTS_A_TURN):
                self._accept_waiting(one.sock)
            one.sock.close()
        await asyncio.sleep(0)
        for connection in list(self._connections):
            connection.answers.over.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                for connection in list(self._connections):
                    await connection.idle.wait()
        for connection in list(self._connections):
            connection.close()
        await self._gone(_ANSWER_LIMIT_S)
        for connection in list(self._connections):
            connection.abort()
        await self._gone(_ANSWER_LIMIT_S)

    async def _gone(self, limit_s: float) -> None:
        await self._background.wait(limit_s)

    def _listen(self) -> None:
        self._resume = None
        for bound in self._bound:
            asyncio.get_running_loop().add_reader(bound.sock, self._accept_waiting, bound.sock)

    def _accept_waiting(self, sock: socket.socket) -> None:
        """Take the connections that wait, a few in one turn of the loop.

        Not asyncio's own server: without free descriptors that one logs an error for each place of the backlog, over
        and over, and does little else.
        """
        for _ in range(_ACCEPTS_A_TURN):
            try:
                client, _address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._refusals.note("cannot accept control connections", reason=error.strerror)
                self._pause(sock)
                return
            self._background.start(self._serve(client), "control connection")

    def _pause(self, sock: socket.socket) -> None:
        """Leave who waits in the backlog for a while: there is no descriptor for them, or no memory."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        if self._bound and self._resume is None:
            self._resume = loop.call_later(_PAUSE_S, self._listen)

    async def _serve(self, client: socket.socket) -> None:
        client.setblocking(False)
        reader = asyncio.StreamReader(limit=PIECE)
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        try:
            transport, _protocol = await loop.connect_accepted_socket(lambda: protocol, client)
        except OSError:
            client.close()
            return
        connection = _Connection(reader, asyncio.StreamWriter(transport, protocol, reader, loop), self._answer)
        refusal = self._refusal(connection, client.fileno())
        self._connections.add(connection)
        try:
            if refusal is None:
                await connection.serve()
            else:
                self._refusals.note(
                    "control connection refused", uid=connection.uid, pid=connection.pid, reason=str(refusal)
                )
                await connection.refuse(refusal)
        except (ConnectionError, TimeoutError):
            pass  # the client is gone or does not read; what it asked for has been done
        finally:
            await connection.end()
            self._connections.discard(connection)

    def _refusal(self, fresh: _Connection, descriptor: int) -> Refused | None:
        """Return why a connection is not served, None when it is; the one that is idle longest may go for it."""
        if self._group is None and fresh.uid not in (0, os.geteuid()):
            return Refused("not-permitted", "only the daemon's user and root may use it", exit_code=Exit.NOT_PERMITTED)
        if len(self._connections) < MAX_CONNECTIONS and not _few_left(descriptor, len(self._connections)):
            return None
        idle = [connection for connection in self._connections if connection.idle_s() >= _IDLE_MAX_S]
        if idle:
            max(idle, key=_Connection.idle_s).close()
            return None
        told = f"{len(self._connections)} connections, and no room for more"
        return Refused("too-many-connections", told, exit_code=Exit.FAILED)


class _Refusals:
    """Logs the first of many like things at once, then how many came, once a minute."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}
        self._passed: dict[str, int] = {}

    def note(self, event: str, **fields: Any) -> None:
        now = time.monotonic()
        if now - self._logged.get(event, -_LOG_EVERY_S) < _LOG_EVERY_S:
            self._passed[event] = self._passed.get(event, 0) + 1
            return
        self._logged[event] = now
        _log.warning(event, **fields, more_before=self._passed.pop(event, 0))


def _few_left(descriptor: int, connections: int) -> bool:
    """Tell whether so few descriptors are left that workers and Redis may need them.

    The kernel gives the lowest free number, so those above the newest are free and hardly any below. A few connections
    are served all the same: `status` and `stop` are wanted most when there is trouble.
    """
    limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or connections < _ALWAYS_SERVED:
        return False
    return descriptor >= limit - min(_RESERVE, limit // 4)


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[str, dict[str, Any], Caller], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._lines = Lines(reader)
        self._writer = writer
        self.answers = Answers(writer)
        self._answer = answer
        self.pid, self.uid = peer(writer.get_extra_info("socket"))
        self.idle = asyncio.Event()
        self.idle.set()
        self._idle_since = time.monotonic()

    def idle_s(self) -> float:
        """Return for how long it has asked nothing; 0 while it is answered."""
        return time.monotonic() - self._idle_since if self.idle.is_set() else 0.0

    async def refuse(self, refusal: Refused) -> None:
        """Tell why it is not served."""
        await self.answers.send(encode_error(None, refusal))

    async def serve(self) -> None:
        """Answer line after line until the client ends its side."""
        while True:
            try:
                line = await self._lines.next()
                if line is None:
                    return
                request = parse_request(line)
            except BadRequest as error:
                await self.answers.send(encode_error(error.id, error))
                continue
            self.idle.clear()
            try:
                answer = await self._perform(request)
                if request.wants_answer:
                    await self.answers.send(answer)
            finally:
                self._idle_since = time.monotonic()
                self.idle.set()

    async def _perform(self, request: Request) -> bytes:
        caller = Caller(self.uid, self.pid, request.id, self.answers, request.behalf)
        try:
            result = await self._answer(request.method, request.params, caller)
            parts = []
            for part in encode_result_parts(request.id, result):
                parts.append(part)
                await asyncio.sleep(0)  # a long listing must not keep renewals waiting
            return b"".join(parts)
        except ConnectionError:
            raise  # nobody reads a subscription any more
        except JobdError as error:
            return encode_error(request.id, error)
        except Exception as error:
            _log.exception("control request failed", method=request.method, uid=self.uid, pid=self.pid)
            return encode_error(request.id, error)

    def close(self) -> None:
        """Close it; what was written still goes out, unless the client is gone."""
        self._writer.close()

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()

    async def end(self) -> None:
        """Return when it is closed; a client that does not take the rest in time is cut off."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), answers.WRITE_LIMIT_S)
        except (OSError, TimeoutError):
            self.abort()
