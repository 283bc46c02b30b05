"""The end of a worker that drains for a time only: what it still runs then is handed back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jobd.daemon.processes.worker_state import STOP_LIMIT_S, STOP_PATIENCE_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.processes.worker_state import Worker

LOOK_AGAIN_S = 0.5
"""How soon after its return Redis is noticed by whoever waits for it here."""


def end_after(seconds: float, worker: Worker, later: Callable[[float, Callable[[], None]], object]) -> None:
    """Stop the worker after that time, and kill it when it does not end; harmless when it has ended by then.

    Not while it is without Redis: what it runs could be handed back nowhere, and results it holds would be lost with
    it, so their jobs would run again.
    """
    later(seconds, partial(_end, worker, later))


def _end(worker: Worker, later: Callable[[float, Callable[[], None]], object]) -> None:
    if worker.is_up and not worker.redis_up:
        end_after(LOOK_AGAIN_S, worker, later)
        return
    worker.stop(STOP_PATIENCE_MS)
    later(STOP_LIMIT_S, worker.kill_late)
