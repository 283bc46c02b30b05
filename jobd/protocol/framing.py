"""Packets between daemon, template and worker: one JSON object each, file descriptors beside it."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from jobd.errors import ProtocolError

INLINE_MAX = 48 * 1024
"""Bytes of JSON that go into the packet itself: well under the default socket buffer of 208 KiB."""

MESSAGE_MAX = 64 * 1024 * 1024
"""Bytes of JSON in a memfd; a larger one is a fault, not a message."""

_FDS_MAX = 8


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends; neither is inherited by an exec'ed process unless passed on purpose."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Send one message; the descriptors stay the caller's to close.

    Raises:
        BlockingIOError: a non-blocking socket's buffer is full.
        OSError: the other end is gone.
    """
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(body) <= INLINE_MAX:
        _send_packet(sock, b"J" + body, fds)
        return
    large = os.memfd_create("jobd-message", os.MFD_CLOEXEC)
    try:
        _write_all(large, body)
        _send_packet(sock, b"M", (large, *fds))
    finally:
        os.close(large)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors (now the caller's), or None at end of file.

    Raises:
        ProtocolError: the packet is not a message; its descriptors are closed.
        BlockingIOError: a non-blocking socket has none.
    """
    try:
        packet, fds, flags, _ = socket.recv_fds(sock, INLINE_MAX + 1, _FDS_MAX)
    except ConnectionResetError:
        return None
    if not packet:
        return None
    try:
        message = _parse(packet, fds, flags)
    except (ValueError, OSError, RecursionError) as error:
        close_all(fds)
        raise ProtocolError(f"not a message: {error}") from error
    return message, fds


def close_all(fds: list[int]) -> None:
    """Close descriptors that came with a message nobody wants."""
    for fd in fds:
        os.close(fd)


def _parse(packet: bytes, fds: list[int], flags: int) -> dict[str, Any]:
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise ValueError("packet is longer than agreed")
    body = packet[1:] if packet[:1] == b"J" else _read_large(packet, fds)
    message = json.loads(body.decode("utf-8", "surrogatepass"))
    if not isinstance(message, dict):
        raise ValueError("message is not an object")  # noqa: TRY004 - bad bytes, not a caller's mistake
    return message


def _send_packet(sock: socket.socket, packet: bytes, fds: tuple[int, ...]) -> None:
    if fds:
        socket.send_fds(sock, [packet], list(fds), socket.MSG_NOSIGNAL)
    else:
        sock.send(packet, socket.MSG_NOSIGNAL)


def _read_large(packet: bytes, fds: list[int]) -> bytes:
    if packet != b"M" or not fds:
        raise ValueError("unknown kind of packet")
    large = fds.pop(0)
    try:
        size = os.fstat(large).st_size
        if size > MESSAGE_MAX:
            raise ValueError(f"message of {size} bytes is too large")
        return os.pread(large, size, 0)
    finally:
        os.close(large)


def _write_all(fd: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(fd, view) :]
