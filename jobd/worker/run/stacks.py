"""The stacks of a worker as text: every thread, every task, and which job each runs."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.worker.run.attempt import Run


def all_stacks(runs: Iterable[Run]) -> str:
    """Return the stacks of all threads and of all tasks of the running loop."""
    jobs = list(runs)
    by_thread = {run.thread_id: run for run in jobs if run.thread_id}
    by_task = {run.task: run for run in jobs if run.task is not None}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        title = f"thread {names.get(ident, ident)}{_job(by_thread.get(ident))}"
        parts.append(f"{title}\n{''.join(traceback.format_stack(frame))}")
    for task in asyncio.all_tasks():
        text = io.StringIO()
        task.print_stack(file=text)
        parts.append(f"task {task.get_name()}{_job(by_task.get(task))}\n{text.getvalue()}")
    return "\n".join(parts)


def _job(run: Run | None) -> str:
    return f" runs job {run.taken.id} ({run.job.name})" if run else ""
