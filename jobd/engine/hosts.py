"""Every daemon on a Redis shows itself there: one key a daemon that runs out by itself, and a set of their names.

Both have an empty name where a queue's would be, so no queue can be called like them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LIFE_MS = 30_000
"""A daemon without a sign for this long is gone."""


@dataclass(frozen=True, slots=True)
class HostSign:
    """What a daemon says of itself. `id` is its incarnation; `since` ms since 1970; `config` a digest of its files."""

    id: str
    app: str
    pid: int
    host: str
    version: str
    generation: int
    queues: tuple[str, ...]
    since: int
    config: str
    now: int = 0
    """The daemon's wall clock when it showed itself, ms since 1970; 0 when it did not say."""


def sign_ages(prefix: str, names: Sequence[str]) -> list[Command[int | None]]:
    """Read how many milliseconds ago each showed itself last; None for one that is gone."""

    def age(reply: Any) -> int | None:
        return LIFE_MS - int(reply) if int(reply) >= 0 else None

    return [Command(("PTTL", _sign(prefix, name)), age) for name in names]


def show_sign(prefix: str, sign: HostSign) -> list[Command[None]]:
    """Show that this daemon lives, for LIFE_MS."""
    text = json.dumps(asdict(sign))
    return [
        Command(("SET", _sign(prefix, sign.id), text, "PX", LIFE_MS), _nothing),
        Command(("SADD", _index(prefix), sign.id), _nothing),
    ]


def take_signs_away(prefix: str, ids: Iterable[str]) -> list[Command[None]]:
    """These daemons are gone."""
    return [
        command
        for name in ids
        for command in (
            Command(("DEL", _sign(prefix, name)), _nothing),
            Command(("SREM", _index(prefix), name), _nothing),
        )
    ]


def sign_names(prefix: str) -> Command[list[str]]:
    """Read the names of the daemons that showed themselves; the signs of some may have run out."""
    return Command(("SMEMBERS", _index(prefix)), lambda reply: sorted(map(_text, reply)))


def read_signs(prefix: str, names: Sequence[str]) -> list[Command[HostSign | None]]:
    """Read what these daemons say of themselves; None for one that is gone, or says what this version cannot read."""
    return [Command(("GET", _sign(prefix, name)), _read) for name in names]


def _read(reply: Any) -> HostSign | None:
    try:
        found = json.loads(reply or b"null")
        return HostSign(**{**found, "queues": tuple(found["queues"])})
    except (ValueError, TypeError, KeyError):
        return None


def _text(reply: Any) -> str:
    return bytes(reply).decode("utf-8", "replace")


def _nothing(reply: Any) -> None:
    del reply


def _index(prefix: str) -> str:
    return f"{prefix}::hosts"


def _sign(prefix: str, name: str) -> str:
    return f"{prefix}::host:{name}"
