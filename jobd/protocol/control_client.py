"""Ask the daemon over its control socket: synchronous, small, standard library only."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd.errors import DaemonAway, ProtocolError, Refused
from jobd.exits import Exit
from jobd.protocol.control import (
    LINE_MAX,
    REPLY_MAX,
    STATUS_SOCKET,
    Reply,
    encode_request,
    parse_reply,
    raise_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

_CONNECT_LIMIT_S = 5
"""A daemon accepts in microseconds; one whose queue of connections is full for this long is stuck."""

_PATH_MAX = 107
"""Bytes of a Unix socket's path (unix(7))."""


class ControlClient:
    """One connection to the daemon. Not thread-safe; close it, or use it as a context manager."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self.path = path
        self._sock = sock
        self._buffer = bytearray()
        self._last_id = 0

    @classmethod
    def connect(cls, candidates: Sequence[Path]) -> ControlClient:
        """Return a connection to the first candidate that a daemon listens on.

        Where this user may not use it, the status socket beside it is tried: [daemon] status_group may only read.

        Raises:
            DaemonAway: nobody listens on any; lists what was tried and why not.
            Refused: exit code 77: there is a socket and this user may not use it.
        """
        tried: list[tuple[str, str]] = []
        forbidden = False
        left = list(candidates)
        while left:
            path = left.pop(0)
            try:
                return cls(_connect(path), path)
            except OSError as error:
                tried.append((str(path), _why_not(error)))
                if isinstance(error, PermissionError) and path.name != STATUS_SOCKET:
                    forbidden = True
                    left.insert(0, path.with_name(STATUS_SOCKET))
        listed = "; ".join(f"{path}: {why}" for path, why in tried) or "no socket is known"
        if forbidden:
            message = f"not permitted to use the control socket ({listed}); run as the daemon's user or as root"
            raise Refused("not-permitted", message, exit_code=Exit.NOT_PERMITTED, detail={"tried": tried})
        raise DaemonAway(f"no daemon answers ({listed}); start one with: jobd run", tried)

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; what was asked for goes on."""
        self._sock.close()

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        on_progress: Callable[[str], None] | None = None,
        timeout: float | None = None,
        behalf: str | None = None,
    ) -> dict[str, Any]:
        """Return the result of one method, `"schema": 1` included.

        Args:
            on_progress: Called with each line of progress while it lasts.
            timeout: Seconds until the answer; None waits as long as the daemon lives.
            behalf: The person for whom this program asks; logged and kept with the change.

        Raises:
            Refused: the daemon said no; carries code, exit code and detail.
            InputError: the request is too long or cannot be written as JSON; nothing was sent.
            DaemonAway: the daemon went away before it answered.
            TimeoutError: no answer in time; whether it was done is unknown.
        """
        self._last_id += 1
        line = encode_request(self._last_id, method, params or {}, behalf)
        end = None if timeout is None else time.monotonic() + timeout
        self._send(line, end)
        while True:
            reply = self._receive(end)
            if reply.progress is not None:
                if on_progress is not None:
                    on_progress(reply.progress)
            elif reply.error is not None:
                raise_error(reply.error)
            elif reply.result is not None and reply.id == self._last_id:
                return reply.result

    def subscribe(self, to: str, params: dict[str, Any]) -> Iterator[tuple[dict[str, Any] | None, int]]:
        """Yield (entry, 0) for each entry as it comes, (None, n) where n were missed; ends when the daemon says so.

        Args:
            to: "logs" or "events".
            params: as that method takes them.
        Raises:
            Refused: the daemon said no, or this reader was too slow.
            DaemonAway: the daemon went away.
        """
        self._last_id += 1
        self._send(encode_request(self._last_id, "subscribe", {"to": to, "params": params}), None)
        while True:
            reply = self._receive(None)
            if reply.error is not None:
                raise_error(reply.error)
            if reply.result is not None:
                return
            fed = reply.fed or {}
            yield fed.get("entry"), int(fed.get("missed", 0))

    def wait_gone(self, timeout: float | None = None) -> bool:
        """Wait until the daemon's process is gone; tell whether it is. Without pidfd: until it closed the socket."""
        pid = self.peer_pid()
        with contextlib.suppress(ProcessLookupError):
            if pid and not is_manager(pid) and hasattr(os, "pidfd_open"):
                fd = os.pidfd_open(pid)
                try:
                    return _readable(fd, timeout)
                finally:
                    os.close(fd)
            return _readable(self._sock.fileno(), timeout)
        return True

    def peer_pid(self) -> int:
        """Return the daemon's pid as the kernel tells it, 0 when it lives where it cannot be seen from here."""
        if not hasattr(socket, "SO_PEERCRED"):
            return 0
        credentials = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def _send(self, line: bytes, end: float | None) -> None:
        self._limit(end)
        try:
            self._sock.sendall(line)
        except TimeoutError:
            raise TimeoutError("the daemon did not take the request in time") from None
        except OSError as error:
            # It may have answered (not permitted, too many connections) before it closed.
            if not isinstance(error, BrokenPipeError | ConnectionResetError):
                raise DaemonAway(f"the connection to {self.path} broke: {error}") from error

    def _receive(self, end: float | None) -> Reply:
        searched = 0
        while True:
            at = self._buffer.find(b"\n", searched)
            if at >= 0:
                line = bytes(self._buffer[:at])
                del self._buffer[: at + 1]
                return parse_reply(line)
            searched = len(self._buffer)
            if searched > REPLY_MAX:
                raise ProtocolError(f"the daemon's answer is longer than {REPLY_MAX} bytes")
            self._buffer += self._read(end)

    def _read(self, end: float | None) -> bytes:
        self._limit(end)
        try:
            piece = self._sock.recv(LINE_MAX)
        except TimeoutError:
            raise TimeoutError("the daemon did not answer in time; whether it was done is unknown") from None
        except OSError as error:
            raise DaemonAway(f"the connection to {self.path} broke: {error}") from error
        if not piece:
            raise DaemonAway(f"the daemon at {self.path} went away before it answered")
        return piece

    def _limit(self, end: float | None) -> None:
        # A timeout of 0 would make the socket non-blocking: a thousandth of a second is over at once as well.
        self._sock.settimeout(None if end is None else max(end - time.monotonic(), 0.001))


def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Not settimeout: a non-blocking connect gives up at once when the daemon's queue of connections is full.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _CONNECT_LIMIT_S, 0))
        with short_path(path) as name:
            sock.connect(name)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 0))
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def short_path(path: Path) -> Any:
    """Give a name of at most 107 bytes by which a socket's path can be bound and connected to while this lasts."""
    if len(os.fsencode(path)) <= _PATH_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _why_not(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "does not exist"
        case errno.ECONNREFUSED:
            return "nobody listens (left behind by a daemon that was killed?)"
        case errno.EACCES | errno.EPERM:
            return "permission denied"
        case errno.ENOTSOCK:
            return "not a socket"
        case errno.EAGAIN:
            return f"did not accept within {_CONNECT_LIMIT_S} s"
    return error.strerror or str(error)


def is_manager(pid: int) -> bool:
    """Tell whether this is systemd, which listens for a daemon that it starts when somebody connects."""
    try:
        return pid == 1 and Path("/proc/1/comm").read_text().strip() == "systemd"
    except OSError:
        return False


def _readable(fd: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(timeout, 0) * 1000))
