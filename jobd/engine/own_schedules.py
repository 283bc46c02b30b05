"""The schedules of a jobd.toml in Redis: who owns them, who lists them, what is to be done about each.

All hosts that run one file own its schedules together. Beside a scheduler lies a note (its [app] name, a digest of its
definition, the policies); each daemon says now and then what its file lists. `decide` is pure.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jobd.engine.runner import Command
from jobd.engine.schedulers import Policies, Repeat, Template, load_json
from jobd.engine.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.keys import Keys
    from jobd.engine.runner import Word


@dataclass(frozen=True, slots=True)
class OwnSchedule:
    """A schedule as a file defines it. `place`: where, for people ("jobd.toml:12")."""

    queue: str
    id: str
    repeat: Repeat
    template: Template
    policies: Policies
    app: str
    place: str

    @property
    def digest(self) -> str:
        """Of everything but the place: equal means that nothing is to be set."""
        parts = (self.repeat.stored(), self.repeat.immediately, self.template.name, self.template.data)
        policies = self.policies
        text = json.dumps(
            [*parts, self.template.opts, policies.overlap, policies.catch_up, policies.jitter_ms], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def note(self) -> dict[str, Any]:
        """Return what jobd keeps beside the scheduler."""
        policies = self.policies
        return {
            "app": self.app, "digest": self.digest, "place": self.place, "overlap": policies.overlap,
            "catch_up": policies.catch_up, "jitter_ms": policies.jitter_ms,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule as it lies in Redis. `note`, `paused` and `gone` are what jobd keeps, None where it does not.

    `there`: BullMQ has it. `as_made`: it is what jobd wrote. `listed`: the file of a living daemon of this app has it.
    `gone`: a daemon whose file does not have it any more removed it. `lost`: the job of its current iteration is not
    there, and nobody will make the next.
    """

    id: str
    note: dict[str, Any] | None
    there: bool
    as_made: bool
    paused: dict[str, Any] | None
    gone: dict[str, Any] | None
    listed: bool
    lost: bool = False

    @property
    def app(self) -> str | None:
        """Whose file made it; None: no file did, or somebody has changed it since."""
        ours = self.note is not None and (self.as_made or not self.there)
        return self.note.get("app") if ours and self.note is not None else None


class Verdict(StrEnum):
    """What is to be done about one schedule."""

    KEEP = "keep"
    SET = "set"
    """It is missing, or this daemon has loaded another definition."""
    SET_PAUSED = "set paused"
    """The same, but it stays paused."""
    REMOVE = "remove"
    FOREIGN = "foreign"
    """Somebody else made one of that id: it is not touched."""


def decide(wanted: OwnSchedule | None, found: Found, loaded: str | None) -> Verdict:
    """Return what a daemon does about one schedule.

    Args:
        wanted: As its file has it; None: it has it no more.
        loaded: Digest of the definition that this daemon's file had before; None: it had none.
    """
    if wanted is None:
        return Verdict.KEEP if found.listed or found.app is None else Verdict.REMOVE
    if found.there and found.app != wanted.app:
        return Verdict.FOREIGN
    changed = loaded != wanted.digest
    if found.there or found.paused is not None:
        same = found.note is not None and found.note.get("digest") == wanted.digest
        # Another host has loaded a change since: the file here is the older one, and will be replaced.
        if (same or not changed) and not found.lost:
            return Verdict.KEEP
        return Verdict.SET if found.there else Verdict.SET_PAUSED
    if found.gone is not None and not changed and found.gone.get("digest") == wanted.digest:
        return Verdict.KEEP
    return Verdict.SET


LISTED_MS = 20_000
"""How long a daemon counts as alive after it has said what its file lists, by Redis' clock."""

DOUBT_MS = 10_000
"""How long it still does after somebody has seen that this time is over. Longer than daemons take to say so again."""


def look(keys: Keys, ids: Sequence[str], *, app: str, daemon: str, now_ms: int) -> Command[list[Found]]:
    """Say that the file of this daemon lists these schedules of a queue, and read them and the others of the app.

    `now_ms` is this host's clock, by which schedules are due. Redis' tells which daemons live, unless refused.
    """
    numbers: tuple[Word, ...] = (now_ms, LISTED_MS, DOUBT_MS)
    words: tuple[Word, ...] = (2, keys.repeat, keys.schedules, keys.base, *numbers, app, daemon, *ids)

    def read(reply: Any) -> list[Found]:
        return [_found(*row) for row in reply]

    return Command(words, read, script("look_schedules"))


def _found(sid: bytes, *rest: Any) -> Found:
    note, there, as_made, paused, gone, listed, lost = rest
    kept = (load_json(text) for text in (note, paused, gone))
    known, held, removed = (found if isinstance(found, dict) else None for found in kept)
    return Found(sid.decode(errors="replace"), known, there == 1, as_made == 1, held, removed, listed == 1, lost == 1)


def set_paused(keys: Keys, wanted: OwnSchedule, paused: dict[str, Any]) -> Command[int]:
    """Change what a paused schedule will be when it is resumed; an unchanged interval keeps its rhythm."""
    had = paused.get("fields") or {}
    fields = {
        "name": wanted.template.name, **{key: str(value) for key, value in wanted.repeat.stored().items()},
        "ic": had.get("ic", "1"),
    }  # fmt: skip
    if wanted.template.data:
        fields["data"] = wanted.template.data
    if wanted.template.opts:
        fields["opts"] = wanted.template.opts
    kept = {**paused, "fields": fields}
    if had.get("every") != fields.get("every"):
        kept["slot"] = ""
    elif "offset" not in fields and "offset" in had:
        fields["offset"] = had["offset"]
    words = (
        "HSET", keys.schedules, f"p:{wanted.id}", json.dumps(kept), f"s:{wanted.id}", json.dumps(wanted.note()),
    )  # fmt: skip
    return Command(words, int)


def known_queues(prefix: str, app: str) -> Command[set[str]]:
    """Read which queues have, or had, schedules of an app."""
    return Command(("SMEMBERS", _registry(prefix, app)), lambda reply: {name.decode() for name in reply})


def register(prefix: str, app: str, queues: Sequence[str]) -> Command[int]:
    """Note that an app has schedules in these queues, so that they are found when no file names them any more."""
    return Command(("SADD", _registry(prefix, app), *queues), int)


def forget(prefix: str, app: str, queue: str) -> Command[int]:
    """Note that an app has none in a queue."""
    return Command(("SREM", _registry(prefix, app), queue), int)


def _registry(prefix: str, app: str) -> str:
    # No queue has an empty name: nothing of BullMQ looks here.
    return f"{prefix}::jobd:schedules:{app}"
