"""Whether a second thread of a worker gets to run: tells a loop that stands still from a handler that holds the GIL."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from jobd.worker.own_log import log

if TYPE_CHECKING:
    from jobd.protocol.board import BoardWriter

PULSE_S = 1.0
"""As often as the loop's beat."""


class Pulse:
    """A thread that shows once a second on the board that it got the GIL.

    It is started once the worker has another thread anyway. A worker without threads needs none: what keeps its loop
    from turning runs on the loop. And a process with one thread forks without a warning.
    """

    def __init__(self, board: BoardWriter) -> None:
        self._board = board
        self._tried = False

    def start_if_useful(self) -> None:
        """Start the thread, once, when there is another beside this one."""
        if self._tried or threading.active_count() < 2:
            return
        self._tried = True
        try:
            threading.Thread(target=self._run, name="jobd-pulse", daemon=True).start()
        except RuntimeError as error:
            # At a limit of threads. The board says that nothing is known, which is true.
            log.debug("no thread for the pulse: %s", error)

    def _run(self) -> None:
        while True:
            self._board.pulse(time.monotonic())
            time.sleep(PULSE_S)
