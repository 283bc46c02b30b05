"""A queue as a row or a head of the page: its counts, its state in a word, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from jobd.duration import format_duration
from jobd.operations.reasons import state_word, why_nothing_runs
from jobd.words import natural

if TYPE_CHECKING:
    from jobd.operations.documents.queues import QueueRow
    from jobd.operations.documents.workers import Worker

_COUNTS = ("waiting", "prioritized", "delayed", "active", "completed", "failed", "waiting_children")
_BAD = ("breaker", "no_workers")
"""Not that Redis is away: that is no one queue's trouble, and the page says it once."""

BEHIND_S = 60.0
"""A queue whose next job has waited longer is not keeping up."""


@dataclass(slots=True)
class Row:
    """One queue. `waiting` counts the prioritized ones as well. `own`: this host runs it.

    `state` is the word shown: that of `status`, or "no workers" for a queue that no host serves.
    """

    name: str
    state: str
    why: str | None
    note: str
    own: bool
    waiting: int | None
    oldest_s: float | None
    counts: dict[str, int | None]
    workers: list[Worker] = field(default_factory=list)
    concurrency: int | None = None
    slots: int | None = None
    busy: int | None = None
    done_per_min: int | None = None
    p95_ms: float | None = None
    memory_bytes: int | None = None
    paused: bool = False
    faulty: bool = False
    """A key of it is of a wrong type: nothing of it can be read."""
    limits: list[str] = field(default_factory=list)

    @property
    def behind(self) -> bool:
        """Whether it is not keeping up; a paused one is not meant to."""
        return (self.oldest_s or 0.0) > BEHIND_S and not self.paused

    @property
    def bad(self) -> bool:
        """Whether somebody should look."""
        return self.state == "breaker" or self.why in _BAD or self.faulty

    @classmethod
    def of(cls, row: QueueRow, *, own: bool) -> Row:
        """Return what the page shows of a queue."""
        known: dict[str, Any] = {**row}
        counts = {name: known.get(name) for name in _COUNTS}
        waiting = counts["waiting"]
        return cls(
            name=row["name"],
            state=state_word(row),
            why=row["why"],
            note=_note(known),
            own=own,
            waiting=None if waiting is None else waiting + (counts["prioritized"] or 0),
            oldest_s=row["oldest_waiting_s"],
            counts=counts,
            workers=row.get("workers", []),
            concurrency=row.get("concurrency"),
            slots=row.get("slots"),
            busy=row.get("busy"),
            done_per_min=row.get("done_per_min"),
            p95_ms=row.get("p95_ms"),
            memory_bytes=row.get("memory_bytes"),
            paused=row["state"] == "paused" or row["why"] == "paused" or row["paused_at"] is not None,
            faulty="fault" in row,
            limits=_limits(known),
        )


def by_trouble(rows: list[Row]) -> list[Row]:
    """Return the rows with those first that somebody should look at, else by name."""
    return sorted(rows, key=lambda row: (not row.bad, not row.behind, not row.own, natural(row.name)))


def _note(row: dict[str, Any]) -> str:
    """Return what else is to be said of the state."""
    if row.get("fault"):
        return str(row["fault"])
    if row.get("note"):
        return str(row["note"]).partition("\n")[0]
    if row["state"] == "paused" or row.get("why") == "paused":
        by = f"by {row['paused_by']}" if row.get("paused_by") else ""
        return f'{by}: "{row["paused_why"]}"'.lstrip(": ") if row.get("paused_why") else by
    why = row.get("why")
    if why == "no_workers":
        reason = why_nothing_runs(cast("QueueRow", row))
        return reason.text if reason else ""
    return "" if why in (None, "nothing_due", row["state"]) else str(why).replace("_", " ")


def _limits(row: dict[str, Any]) -> list[str]:
    found = []
    if row.get("global_concurrency"):
        found.append(f"{row['global_concurrency']} active anywhere")
    limit = row.get("rate_limit")
    if limit:
        within = f" per {format_duration(limit['duration_ms'])}" if limit.get("duration_ms") else ""
        found.append(f"{limit['max']} started{within}")
    return found
