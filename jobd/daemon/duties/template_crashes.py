"""Whose fault a template's end is: one may be anybody's, several under the same job are that job's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FREE = 2
"""Ends of a template under a job that are held against nobody: a person or the kernel may have killed it."""

_FORGET_S = 3600.0


class TemplateCrashes:
    """Counts, for each job, the templates that ended while it ran."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], tuple[int, float]] = {}

    def template_died(self, queue: str, jobs: Iterable[str], now: float) -> bool:
        """Count one end for each of these jobs, which ran; return whether it is held against them."""
        self._ends = {job: seen for job, seen in self._ends.items() if now - seen[1] < _FORGET_S}
        counted = False
        for job in jobs:
            times = self._ends.get((queue, job), (0, 0.0))[0] + 1
            self._ends[queue, job] = (times, now)
            counted = counted or times > FREE
        return counted
