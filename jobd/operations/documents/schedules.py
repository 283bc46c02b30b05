"""Documents of schedules."""

from __future__ import annotations

from typing import Annotated, TypedDict


class ScheduleRow(TypedDict):
    """A schedule: BullMQ's job scheduler, and what jobd keeps beside it. Moments are ms since 1970."""

    name: str
    queue: str
    job: Annotated[str, "name of its jobs"]
    state: Annotated[str, "running, paused or ended"]
    cron: Annotated[str | None, "its pattern; null for an interval"]
    timezone: str | None
    every_ms: int | None
    next_at: Annotated[int | None, "when its next run is due; null when there is none"]
    last_at: Annotated[int | None, "due time of the latest run that began; for schedules of a file"]
    runs: Annotated[int, "runs that have begun"]
    iterations: Annotated[int, "BullMQ's count: jobs created so far, including the one that is due next"]
    missed: Annotated[int, "due times that passed without a run; for schedules of a file"]
    limit: int | None
    start_at: int | None
    end_at: int | None
    overlap: str
    catch_up: str
    jitter_ms: int
    app: Annotated[str | None, "[app] name of the file that has it; null: made by Node or a client"]
    place: Annotated[str | None, "where in that file"]
    paused_by: str | None
    paused_at: int | None


class ScheduleList(TypedDict):
    """Schedules."""

    schedules: list[ScheduleRow]


class ScheduleShown(TypedDict):
    """One schedule."""

    schedule: ScheduleRow


class ScheduleNext(TypedDict):
    """When a schedule is due."""

    schedule: ScheduleRow
    next: Annotated[list[int], "due times, ms since 1970, beginning with the next run"]


class ScheduledJob(TypedDict):
    """A job that was added as a schedule would."""

    queue: str
    schedule: str
    id: str
    name: str
