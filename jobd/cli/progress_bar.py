"""A bar for changes that take long: on a terminal, and only once there is something to tell."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID


@contextmanager
def bar(title: str) -> Iterator[Callable[[str], None]]:
    """Give what takes the lines "done/total" of a change and draws them on stderr; off a terminal it draws nothing."""
    shown = _Bar(title)
    try:
        yield shown.tell
    finally:
        shown.stop()


@contextmanager
def waiting(title: str, tell: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Give what passes on each line to `tell` and, from the first on, shows on a terminal that the wait goes on.

    How long it will last is not known: a bar that moves, with the time so far. Off a terminal only the lines come.
    """
    drawn: list[Progress] = []

    def told(text: str) -> None:
        if not drawn and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            drawn.append(Progress(*columns, console=Console(stderr=True), transient=True))
            drawn[0].add_task(title, total=None)
            tell(text)
            drawn[0].start()
        else:
            tell(text)

    try:
        yield told
    finally:
        for one in drawn:
            one.stop()


class _Bar:
    def __init__(self, title: str) -> None:
        self._title = title
        self._drawn: tuple[Progress, TaskID] | None = None

    def tell(self, text: str) -> None:
        done, _, total = text.partition("/")
        if not (done.isdecimal() and total.isdecimal()) or sys.stderr is None or not sys.stderr.isatty():
            return
        if self._drawn is None:
            self._drawn = self._started(int(total))
        drawn, task = self._drawn
        drawn.update(task, completed=int(done), total=int(total))

    def _started(self, total: int) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        drawn = Progress(*columns, console=Console(stderr=True), transient=True)
        task = drawn.add_task(self._title, total=total)
        drawn.start()
        return drawn, task

    def stop(self) -> None:
        if self._drawn is not None:
            self._drawn[0].stop()
