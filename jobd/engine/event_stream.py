"""The event streams of queues, read as they are (docs/wire-format.md, "Events")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jobd.engine.runner import Command, Word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobd.engine.keys import Keys

FIRST = "0-0"
"""The id before every other one."""


class Entry(NamedTuple):
    """One entry. `fields` are its texts as they lie there, the event's name and the job's id among them."""

    queue: str
    id: str
    fields: dict[str, str]

    @property
    def moment(self) -> tuple[int, int]:
        """When it was written by Redis' clock, in milliseconds, and which of that millisecond it is."""
        return stream_moment(self.id)


def stream_moment(entry_id: str) -> tuple[int, int]:
    """Return (milliseconds, number) of a stream's id: ids compare so, and not as texts."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


def entries_after(keys: Keys, after: str, count: int) -> Command[list[Entry]]:
    """Read up to `count` entries after an id, oldest first."""
    words = ("XRANGE", keys.events, f"({after}", "+", "COUNT", count)
    return Command(words, lambda reply: _entries(keys.queue, reply))


def newest_entries(keys: Keys, count: int) -> Command[list[Entry]]:
    """Read the last `count` entries, oldest first."""
    words = ("XREVRANGE", keys.events, "+", "-", "COUNT", count)
    return Command(words, lambda reply: _entries(keys.queue, reversed(reply)))


def wait_for_entries(queues: Sequence[Keys], after: Mapping[str, str], count: int, block_ms: int) -> Command[bool]:
    """Wait until one of the queues has an entry after its id of `after`; tell whether it has."""
    ids = [after[keys.queue] for keys in queues]
    names = [keys.events for keys in queues]
    words: tuple[Word, ...] = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", *names, *ids)
    return Command(words, bool)


def _entries(queue: str, reply: Any) -> list[Entry]:
    return [Entry(queue, entry_id.decode(), _fields(words)) for entry_id, words in reply if words is not None]


def _fields(words: Sequence[bytes]) -> dict[str, str]:
    texts = [word.decode("utf-8", "replace") for word in words]
    return dict(zip(texts[::2], texts[1::2], strict=True))
