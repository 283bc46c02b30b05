"""What is told of attempts in words: the reason and traceback of one that raised, the stacks of those that run."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from jobd.worker.run.attempt import Attempt

TRACE_MAX = 16_000
"""Characters of one traceback, head and tail kept: it lies in Redis once an attempt."""

REASON_MAX = 8_000
"""Characters of a failedReason: it is repeated in an event of the stream."""

_OURS = str(Path(__file__).parent)


def reason_of(error: BaseException) -> str:
    """Return the failedReason: str(error), or the class name when that is empty or cannot be made."""
    name = type(error).__name__
    try:
        text = str(error)
    # __str__ is the user's code, and may raise anything.
    except BaseException as second:
        return clean(f"{name} (its text cannot be made: {type(second).__name__})")
    if isinstance(error, SystemExit):
        return clean(f"{name}: {text}" if text else name)
    return clean(_cut(text, REASON_MAX) if text.strip() else name)


def trace_of(error: BaseException) -> str:
    """Return the traceback without jobd's own frames, at most TRACE_MAX characters."""
    try:
        shown = traceback.TracebackException(type(error), error, _users_part(error.__traceback__), compact=True)
        text = "".join(shown.format())
    # Formatting calls the user's __str__, __repr__ and __notes__.
    except BaseException as second:
        text = f"{type(error).__name__} (its traceback cannot be made: {type(second).__name__})"
    return clean(_cut(text.rstrip("\n"), TRACE_MAX))


def clean(text: str) -> str:
    """Return text that has a UTF-8 form: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is not ours; all of it when every frame is."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_OURS):
        first = first.tb_next
    return first


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2 - 30
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


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
        text = io.StringIO()
        task.print_stack(file=text)
        parts.append(f"task {task.get_name()}{_told(by_task.get(task))}\n{text.getvalue()}")
    return "\n".join(parts)


def _told(attempt: Attempt | None) -> str:
    return f" runs job {attempt.taken.id} ({attempt.job.name})" if attempt else ""
