"""What joins the daemon and a process that it makes: a socketpair for messages, a pipe for what it prints."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd.protocol import framing

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Pipes:
    """`sock` and `output` are the daemon's, to be read; `their_sock` and `their_output` go to the process."""

    sock: socket.socket
    output: int
    their_sock: socket.socket
    their_output: int


@contextmanager
def pipes() -> Iterator[Pipes]:
    """Make them for the block that makes the process; the daemon's stay open behind it, unless it raises."""
    with ExitStack() as theirs, ExitStack() as ours:
        sock, their_sock = framing.pair()
        ours.callback(sock.close)
        theirs.callback(their_sock.close)
        output, their_output = os.pipe2(os.O_CLOEXEC)
        ours.callback(os.close, output)
        theirs.callback(os.close, their_output)
        yield Pipes(sock, output, their_sock, their_output)
        ours.pop_all()
