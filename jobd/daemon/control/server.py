"""The control socket: who may connect, lines in, answers out. What is done is in dispatch.py.

Whatever a client sends, it gets an error and harms nobody else: a connection is one task that holds at most one line
of 1 MiB, requests of a connection are answered one after another, and a client that does not read is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import socket
import stat
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.daemon.logs import event_log
from jobd.errors import JobdError, Refused
from jobd.exits import Exit
from jobd.protocol.control import (
    LINE_MAX,
    BadRequest,
    Request,
    RpcCode,
    encode_error,
    encode_progress,
    encode_result,
    parse_request,
)
from jobd.protocol.control_client import short_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

MAX_CONNECTIONS = 256
"""More are told so and closed: with a line of 1 MiB each they bound what a mad client can cost."""

_PIECE = 64 * 1024
_BACKLOG = 256
_UNREAD_MAX = 1024 * 1024
"""Bytes of progress a client may leave unread; more lines are dropped, the answer still comes."""

_WRITE_LIMIT_S = 30.0
"""A client that takes none of its answer for this long is cut off."""

_ANSWER_LIMIT_S = 2.0
"""How long `stop` lets requests that are being answered come to their end."""

_KEEP_SOCKET: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""From 3.13 on asyncio removes the file by the name it was bound under; here it has been renamed since."""

_ACCEPT_TURNS = 5
"""Turns of the loop that asyncio needs to accept who connected before the socket was removed; it makes three."""

_log = event_log(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the kernel tells it, and how to tell that client what is going on meanwhile."""

    uid: int
    pid: int
    progress: Callable[[str], None]

    @property
    def who(self) -> str:
        """The user's name, else the uid as text."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


class ControlServer:
    """Listens at `path` and passes every request to `answer(method, params, caller)`, which returns its result."""

    def __init__(
        self,
        path: Path,
        answer: Callable[[str, dict[str, Any], Caller], Awaitable[Mapping[str, Any]]],
        *,
        group: str | None = None,
    ) -> None:
        """Prepare. Members of `group` may connect as well: then the file's mode alone decides who."""
        self.path = path
        self._group = group
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._connections: set[_Connection] = set()

    async def start(self) -> None:
        """Listen, for the owner, root and the group only; a socket that a dead daemon left is replaced.

        Raises:
            Refused: somebody answers there, or the place cannot be used.
        """
        if self._server is not None:
            return
        sock = listen_privately(self.path, self._group)
        self._inode = self.path.lstat().st_ino
        self._server = await asyncio.start_unix_server(
            self._connected, sock=sock, limit=_PIECE, backlog=_BACKLOG, **_KEEP_SOCKET
        )
        _log.info("control socket listens", path=str(self.path))

    async def stop(self) -> None:
        """Stop listening, give answers under way a moment, close every connection, remove the socket."""
        server, self._server = self._server, None
        if server is None:
            return
        with contextlib.suppress(OSError):
            # Another daemon may have taken the place over meanwhile; its socket is not ours to remove.
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        for _ in range(_ACCEPT_TURNS):
            await asyncio.sleep(0)
        server.close()
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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                for connection in list(self._connections):
                    await connection.gone.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self._answer, only_owner=self._group is None)
        self._connections.add(connection)
        try:
            await connection.serve(too_many=len(self._connections) > MAX_CONNECTIONS)
        except (ConnectionError, TimeoutError):
            pass  # the client is gone or does not read; what it asked for has been done
        finally:
            await connection.end()
            self._connections.discard(connection)


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[str, dict[str, Any], Caller], Awaitable[Mapping[str, Any]]],
        *,
        only_owner: bool,
    ) -> None:
        self._only_owner = only_owner
        self._lines = Lines(reader)
        self._writer = writer
        self._answer = answer
        self.pid, self.uid = peer(writer.get_extra_info("socket"))
        self.idle = asyncio.Event()
        self.idle.set()
        self.gone = asyncio.Event()

    async def serve(self, *, too_many: bool) -> None:
        """Answer line after line until the client ends its side."""
        refusal = _refusal(self.uid, only_owner=self._only_owner, too_many=too_many)
        if refusal is not None:
            _log.warning("control connection refused", uid=self.uid, pid=self.pid, reason=str(refusal))
            await self._send(encode_error(None, refusal))
            return
        while True:
            try:
                line = await self._lines.next()
                if line is None:
                    return
                request = parse_request(line)
            except BadRequest as error:
                await self._send(encode_error(error.id, error))
                continue
            self.idle.clear()
            try:
                answer = await self._perform(request)
                if request.wants_answer:
                    await self._send(answer)
            finally:
                self.idle.set()

    async def _perform(self, request: Request) -> bytes:
        def progress(text: str) -> None:
            transport = self._writer.transport
            if not transport.is_closing() and transport.get_write_buffer_size() < _UNREAD_MAX:
                self._writer.write(encode_progress(request.id, text))

        try:
            result = await self._answer(request.method, request.params, Caller(self.uid, self.pid, progress))
            return encode_result(request.id, result)
        except JobdError as error:
            return encode_error(request.id, error)
        except Exception as error:
            _log.exception("control request failed", method=request.method, uid=self.uid, pid=self.pid)
            return encode_error(request.id, error)

    async def _send(self, line: bytes) -> None:
        if self._writer.transport.is_closing():
            raise ConnectionResetError
        self._writer.write(line)
        # Only what the client takes counts as progress: an answer of many megabytes may last.
        while True:
            before = self._writer.transport.get_write_buffer_size()
            try:
                await asyncio.wait_for(self._writer.drain(), _WRITE_LIMIT_S)
            except TimeoutError:
                if self._writer.transport.get_write_buffer_size() < before:
                    continue
                self._writer.transport.abort()
                raise
            return

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
            await asyncio.wait_for(self._writer.wait_closed(), _WRITE_LIMIT_S)
        except (OSError, TimeoutError):
            self.abort()
        finally:
            self.gone.set()


class Lines:
    """The lines of a stream, at most LINE_MAX bytes each; a longer one is passed over in constant memory."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()
        self._skipping = False

    async def next(self) -> bytes | None:
        """Return the next line that is not blank, also one that end of file cuts short; None at the end.

        Raises:
            BadRequest: a line is too long; said as soon as that is known, its rest is skipped.
        """
        searched = 0
        while True:
            at = self._buffer.find(b"\n", searched)
            if at >= 0:
                line = bytes(self._buffer[:at])
                del self._buffer[: at + 1]
                searched = 0
                was_skipping, self._skipping = self._skipping, False
                if not was_skipping and line.strip():
                    return self._checked(line)
                continue
            if self._skipping:
                self._buffer.clear()
            elif len(self._buffer) > LINE_MAX:
                self._buffer.clear()
                self._skipping = True
                raise _too_long()
            searched = len(self._buffer)
            piece = await self._reader.read(_PIECE)
            if not piece:
                return self._rest()
            self._buffer += piece

    def _rest(self) -> bytes | None:
        line, skipping = bytes(self._buffer), self._skipping
        self._buffer.clear()
        return line if line.strip() and not skipping else None

    def _checked(self, line: bytes) -> bytes:
        if len(line) > LINE_MAX:
            raise _too_long()
        return line


def listen_privately(path: Path, group: str | None = None) -> socket.socket:
    """Return a listening socket at `path` with mode 0600, or 0660 for a group; nobody else could connect at any moment.

    It is bound under another name and renamed once its mode is right: the umask may be anything.

    Raises:
        Refused: somebody answers at `path`, the place cannot be used, or there is no such group.
    """
    gid = None if group is None else _gid(group)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if gid is not None:
            _open_folder(path.parent)
        _check_free(path)
        fresh = path.with_name(f".{os.getpid()}.sock")
        fresh.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_path(fresh) as name:
                sock.bind(name)
            fresh.chmod(0o600)
            if gid is not None:
                os.chown(fresh, -1, gid)
                fresh.chmod(0o660)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            fresh.rename(path)
        except BaseException:
            sock.close()
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refused("socket-unusable", f'cannot listen at "{path}": {error.strerror or error}') from error
    return sock


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        message = f'no such group: "{group}" (socket_group or status_group in [daemon])'
        raise Refused("group-unknown", message, exit_code=os.EX_CONFIG) from None


def _open_folder(folder: Path) -> None:
    """Let others pass through a folder that is the owner's alone; what lies in it keeps its own modes."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & 0o011:
        folder.chmod(mode | 0o011)


def _check_free(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise Refused("socket-unusable", f'cannot listen at "{path}": it exists and is no socket; move it away')
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, short_path(path) as name:
        probe.setblocking(False)
        try:
            probe.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass  # its queue of connections is full: somebody listens
        pid, _ = peer(probe)
    raise Refused("socket-taken", f'another daemon (pid {pid}) answers at "{path}"', detail={"pid": pid})


def peer(sock: Any) -> tuple[int, int]:
    """Return (pid, uid) of the other end, as the kernel noted them."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def _refusal(uid: int, *, only_owner: bool, too_many: bool) -> Refused | None:
    if only_owner and uid not in (0, os.geteuid()):
        return Refused("not-permitted", "only the daemon's user and root may use it", exit_code=Exit.NOT_PERMITTED)
    if too_many:
        return Refused("too-many-connections", f"more than {MAX_CONNECTIONS} connections", exit_code=Exit.FAILED)
    return None


def _too_long() -> BadRequest:
    return BadRequest(RpcCode.REQUEST, "line-too-long", f"a request has at most {LINE_MAX} bytes")
