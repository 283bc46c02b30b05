"""A bulk verb on a terminal: it asks, and does what is typed."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
from pathlib import Path

import pytest

from tests.support.fake_control import FakeControl


@pytest.mark.parametrize(("answer", "code", "told"), [(b"y\n", 0, "retried 2"), (b"n\n", 1, ""), (b"\x03", 130, "")])
def test_a_bulk_verb_asks_on_a_terminal(answer: bytes, code: int, told: str, short_tmp: Path) -> None:
    result = {"done": 2, "gone": 0, "ids": ["1", "2"]}
    with FakeControl(short_tmp / "c.sock", {"job.retry": result}) as daemon:
        words = ["job", "retry", "email", "--all", "--socket", str(short_tmp / "c.sock")]
        pid, terminal = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests may ignore it
            os.execv(sys.executable, [sys.executable, "-m", "jobd", *words])
        shown = _until(terminal, b"[y/N]")
        shown += _type(terminal, answer)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == code
    assert b"retry 2 jobs of email?" in shown
    assert told.encode() in shown
    assert len(daemon.asked) == (2 if code == 0 else 1)


def _until(terminal: int, wanted: bytes) -> bytes:
    """Read a terminal until `wanted` was printed."""
    shown = b""
    while wanted not in shown:
        shown += os.read(terminal, 4096)
    return shown


def _type(terminal: int, answer: bytes) -> bytes:
    """Type an answer and read to the end; again when nothing happens: Ctrl-C just before a read begins is not seen."""
    shown = b""
    os.write(terminal, answer)
    while True:
        if not select.select([terminal], [], [], 0.5)[0]:
            os.write(terminal, answer)
            continue
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # EIO: the other side is closed
            return shown
