"""The process of the embedded server: started, followed, ended. What it serves is redis_server.py's business."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

from jobd.daemon.embedded import exec_server
from jobd.daemon.logs import event_log
from jobd.daemon.notify import without_own

if TYPE_CHECKING:
    from pathlib import Path

_STOP_LIMIT_S = 30.0
"""Until it has written out its file after SIGTERM; then it is killed."""

_LAST_LINES = 20
_LINE_MAX = 1000
_log = event_log(__name__)


class ServerProcess:
    """One life of the server. `gone` is set when it has ended; its output until then is in `last_lines`."""

    def __init__(self, server: Path, lock: Path, settings: bytes) -> None:
        """Start it: a small program locks `lock` and becomes the server, which reads its settings from its input.

        The settings come that way because they hold a password, and command lines can be read by everybody.

        Raises:
            OSError: it could not be started.
        """
        self.gone = asyncio.Event()
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        wrapper = [sys.executable, "-IS", exec_server.__file__, str(os.getpid()), str(lock)]
        self._output, write_end = os.pipe()
        self._rest = b""
        try:
            self._process = subprocess.Popen(
                [*wrapper, str(server), "-"],
                stdin=subprocess.PIPE, stdout=write_end, stderr=write_end, start_new_session=True, env=_environment(),
            )  # fmt: skip
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(write_end)
        self.pid = self._process.pid
        self._follow()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self._process.stdin as given:
                given.write(settings)

    @property
    def status(self) -> int | None:
        """Its exit status once it is gone, negative for a signal."""
        return self._process.poll()

    def told(self) -> str:
        """Return its last lines, for an error."""
        return " | ".join(list(self.last_lines)[-3:]) or "it said nothing"

    async def end(self) -> None:
        """Return when it is gone: asked first, killed when it does not listen."""
        if not self.gone.is_set():
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), _STOP_LIMIT_S)
        if not self.gone.is_set():
            self._process.kill()
            await self.gone.wait()
        self._process.wait()

    def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        os.set_blocking(self._output, False)
        pidfd = os.pidfd_open(self.pid)

        def ended() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            # A child of it that rewrites the file may hold the pipe open: what is there now is all that matters.
            while self._read():
                pass
            loop.remove_reader(self._output)
            os.close(self._output)
            self.gone.set()

        loop.add_reader(pidfd, ended)
        loop.add_reader(self._output, self._read)

    def _read(self) -> bool:
        """Take in what it said; tell whether there may be more."""
        try:
            piece = os.read(self._output, 65536)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if not piece and self._rest:
            lines.append(self._rest)
            self._rest = b""
        self._rest = self._rest[-_LINE_MAX:]
        for line in lines:
            text = line.decode("utf-8", "replace").strip()[:_LINE_MAX]
            if text:
                self.last_lines.append(text)
                if text.startswith(exec_server.SAYS):
                    _log.warning("files of the embedded Redis", line=text.removeprefix(exec_server.SAYS))
                else:
                    _log.debug("embedded Redis says", line=text)
        return bool(piece)


def _environment() -> dict[str, str]:
    """Return the server's environment: ours without what is systemd's word to us or our own configuration."""
    return {name: value for name, value in without_own(os.environ).items() if not name.startswith("JOBD_")}
