"""What is told of attempts in words: the reason and traceback of one that raised, the stacks of those that run."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jobd
from jobd.worker.handlers.payload import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from jobd.worker.run.attempt import Attempt

_OURS = (f"{Path(jobd.__file__).parent}{os.sep}", f"{Path(asyncio.__file__).parent}{os.sep}")


def reason_of(error: BaseException) -> str:
    """Return the failedReason: str(error), with the class where that alone says nothing."""
    name = type(error).__name__
    try:
        text = str(error)
    # __str__ is the user's code, and may raise anything.
    except BaseException as second:
        return bounded(f"{name} (its text cannot be made: {type(second).__name__})")
    if not text.strip():
        return bounded(name)
    # A KeyError's text is the bare key, a SystemExit's a number.
    return bounded(f"{name}: {text}" if isinstance(error, KeyError | SystemExit) else text)


def trace_of(error: BaseException) -> str:
    """Return the traceback without the frames of jobd and asyncio that lead to the handler, bounded."""
    try:
        shown = traceback.TracebackException(type(error), error, users_part(error.__traceback__), compact=True)
        text = "".join(shown.format())
    # Formatting calls the user's __str__, __repr__ and __notes__.
    except BaseException as second:
        text = f"{type(error).__name__} (its traceback cannot be made: {type(second).__name__})"
    return bounded(text.rstrip("\n"))


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is neither jobd's nor asyncio's; None when every frame is."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_OURS):
        first = first.tb_next
    return first


def all_stacks(attempts: Iterable[Attempt]) -> str:
    """Return the stacks of all threads and of all tasks of the running loop."""
    jobs = list(attempts)
    by_thread = {attempt.thread_id: attempt for attempt in jobs if attempt.thread_id}
    by_task = {attempt.task: attempt for attempt in jobs if attempt.task is not None}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        title = f"thread {names.get(ident, ident)}{_told(by_thread.get(ident))}"
        parts.append(f"{title}\n{''.join(traceback.format_stack(frame))}")
    for task in asyncio.all_tasks():
        stack = "".join(traceback.format_list(_suspended(task.get_coro())))
        parts.append(f"task {task.get_name()}{_told(by_task.get(task))}\n{stack}")
    return "\n".join(parts)


def _suspended(waits: Any) -> list[traceback.FrameSummary]:
    """Return where a task is, down to what it waits for: asyncio itself shows only the outermost coroutine."""
    frames = []
    while waits is not None:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None) or getattr(waits, "ag_frame", None)
        if frame is not None:
            code = frame.f_code
            frames.append(traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_name))
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)
    return frames


def _told(attempt: Attempt | None) -> str:
    return f" runs job {attempt.taken.id} ({attempt.job.name})" if attempt else ""
