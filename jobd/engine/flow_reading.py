"""Read which jobs a parent waits for or had: a bounded look at its children. docs/wire-format.md, "Flows"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.engine.keys import Keys
from jobd.engine.runner import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

CHILDREN_MAX = 50
"""Children of one job that are read of each kind; a parent may have a hundred thousand."""

_WHOLE_MAX = 1000
"""A hash of at most so many fields is read by its names; a larger one in part, values and all."""


def child_counts(keys: Keys, job_id: str) -> list[Command[Any]]:
    """Return what reads how many children lie in each place: pending, done, failed and passed over, failed."""
    base = keys.job(job_id)
    return [
        Command(("SCARD", f"{base}:dependencies"), int),
        Command(("HLEN", f"{base}:processed"), int),
        Command(("HLEN", f"{base}:failed"), int),
        Command(("ZCARD", f"{base}:unsuccessful"), int),
    ]


def child_keys(keys: Keys, job_id: str, counts: Sequence[int]) -> list[Command[list[str]]]:
    """Return what reads the keys (`prefix:queue:id`) of some children of each place."""
    base = keys.job(job_id)
    return [
        Command(("SSCAN", f"{base}:dependencies", 0, "COUNT", CHILDREN_MAX), lambda reply: _texts(reply[1])),
        _fields(f"{base}:processed", counts[1]),
        _fields(f"{base}:failed", counts[2]),
        Command(("ZRANGE", f"{base}:unsuccessful", 0, CHILDREN_MAX - 1), _texts),
    ]


def split_key(key: str) -> tuple[Keys, str] | None:
    """Return the queue and the id of a job's key; None for what is none. Only a prefix may hold colons."""
    parts = key.rsplit(":", 2)
    return (Keys(parts[0], parts[1]), parts[2]) if len(parts) == 3 and all(parts) else None


def _fields(key: str, count: int) -> Command[list[str]]:
    if count <= _WHOLE_MAX:
        return Command(("HKEYS", key), lambda reply: _texts(reply)[:CHILDREN_MAX])
    return Command(("HSCAN", key, 0, "COUNT", CHILDREN_MAX), lambda reply: _texts(reply[1][::2])[:CHILDREN_MAX])


def _texts(items: Sequence[bytes]) -> list[str]:
    return [item.decode(errors="replace") for item in items]
