"""Learn how a job ended: from its hash, or from the event that says so when the hash is gone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from jobd.engine.events import Event
from jobd.engine.runner import Command
from jobd.engine.scripts import script

if TYPE_CHECKING:
    from jobd.engine.keys import Keys


class End(Enum):
    """How a job ended, or that it has not."""

    COMPLETED = "completed"
    FAILED = "failed"
    REMOVED = "removed"
    PENDING = "pending"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Ending:
    """`value`: the returnvalue (completed), the failedReason (failed), the stream's last id (pending, missing)."""

    end: End
    value: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Endings among the events after a stream id; the next page begins after `last_id`. `full`: more follow."""

    endings: dict[str, Ending]
    last_id: str
    full: bool


def job_outcome(keys: Keys, job_id: str) -> Command[Ending]:
    """Read how a job ended. Pending or missing, `value` is the stream id after which an end has its event."""
    words = (4, keys.job(job_id), keys.completed, keys.failed, keys.events, job_id)

    def read(reply: Any) -> Ending:
        return Ending(End(reply[0].decode()), reply[1].decode(errors="replace"))

    return Command(words, read, script("job_outcome"))


def watch_events(keys: Keys, after: str, block_ms: int) -> Command[Page]:
    """Read the events after a stream id; waits up to `block_ms` for the first one."""
    words = ("XREAD", "COUNT", 500, "BLOCK", block_ms, "STREAMS", keys.events, after)

    def read(reply: Any) -> Page:
        # Under RESP3, which an application's own client may speak, this is a table and not a list of pairs.
        streams = list(reply.items()) if isinstance(reply, dict) else reply
        return _page(streams[0][1] if streams else [], after, 500)

    return Command(words, read)


def past_events(keys: Keys, after: str) -> Command[Page]:
    """Read up to 500 events after a stream id, without waiting."""
    words = ("XRANGE", keys.events, f"({after}", "+", "COUNT", 500)
    return Command(words, lambda reply: _page(reply, after, 500))


def result_of(value: str) -> Any:
    """Return a returnvalue as Python has it; text that is no JSON, which no BullMQ peer writes, as it is."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


_VALUE_FIELD = {
    Event.COMPLETED: (End.COMPLETED, b"returnvalue"),
    Event.FAILED: (End.FAILED, b"failedReason"),
    Event.REMOVED: (End.REMOVED, b"prev"),
}


def _page(entries: Any, after: str, size: int) -> Page:
    endings = {}
    for _, fields in entries:
        found = _VALUE_FIELD.get(fields[1].decode(errors="replace")) if fields and fields[0] == b"event" else None
        if found is None:
            continue
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        job_id = values.get(b"jobId", b"").decode(errors="replace")
        endings[job_id] = Ending(found[0], values.get(found[1], b"").decode(errors="replace"))
    last_id = entries[-1][0].decode() if entries else after
    return Page(endings, last_id, len(entries) == size)
