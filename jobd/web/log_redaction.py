"""Hidden values as they come up in logs and events: what the data of the job that a line is about hides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.errors import JobdError
from jobd.operations import table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.web.redaction import Redaction
    from jobd.web.site import Visit

_KEPT_MAX = 2_000
"""Jobs whose values are remembered; each line of a log is looked through for those of its queue."""

_LATEST = 50
_AT_ONCE = 16


class LogRedaction:
    """Remembers the hidden values of jobs, so that a live page asks for each job once."""

    def __init__(self) -> None:
        self._globs: tuple[str, ...] = ()
        self._kept: dict[tuple[str, str], list[str]] = {}

    async def of(
        self, visit: Visit, hidden: Redaction, jobs: Iterable[tuple[str | None, str | None]]
    ) -> dict[tuple[str, str], list[str]]:
        """Return {(queue, id): values} of the jobs that lines are about. Of a job that is gone nothing is known."""
        if not hidden.globs:
            return {}
        self._start_over_for(hidden)
        wanted = {(queue, job) for queue, job in jobs if queue and job}
        unknown = [key for key in wanted if key not in self._kept]
        limit = asyncio.Semaphore(_AT_ONCE)

        async def look(queue: str, job: str) -> None:
            async with limit:
                try:
                    found = (await visit.read(table.JOB_SHOW, {"queue": queue, "id": job}))["job"]
                except (JobdError, TimeoutError):
                    return
            self._kept[queue, job] = hidden.values_of(found)

        await asyncio.gather(*(look(queue, job) for queue, job in unknown))
        self._trim()
        return {key: self._kept[key] for key in wanted if key in self._kept}

    async def of_queues(self, visit: Visit, hidden: Redaction, queues: Iterable[str]) -> dict[str, list[str]]:
        """Return {queue: values} of the jobs that a line without a job's id may be about: those that ran last."""
        if not hidden.globs:
            return {}
        self._start_over_for(hidden)
        found: dict[str, list[str]] = {}
        for queue in set(queues):
            for state in ("active", "completed", "failed"):
                which = {"queue": queue, "state": state, "after": "", "limit": _LATEST}
                try:
                    listed = (await visit.shared(table.JOB_LIST, which))["jobs"]
                except (JobdError, TimeoutError):
                    continue
                self._kept |= {(queue, job["id"]): hidden.values_of(job) for job in listed if "data" not in job["cut"]}
            values = {value for (of, _), kept in self._kept.items() if of == queue for value in kept}
            found[queue] = sorted(values, key=len, reverse=True)
        self._trim()
        return found

    def _start_over_for(self, hidden: Redaction) -> None:
        if hidden.globs != self._globs:
            self._globs, self._kept = hidden.globs, {}

    def _trim(self) -> None:
        for key in list(self._kept)[: max(0, len(self._kept) - _KEPT_MAX)]:
            del self._kept[key]
