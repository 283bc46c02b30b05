"""BullMQ's job schedulers: made, changed, paused, removed; the next iteration is made by whoever takes one.

A scheduler is an entry of `repeat` with the moment of its current iteration, a hash with what it is made of, and one
job for that iteration. docs/schedules.md tells the rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobd.engine.compact_json import compact
from jobd.engine.options import new_job
from jobd.engine.runner import Command
from jobd.engine.scripts import script
from jobd.errors import InputError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.engine.keys import Keys

MOST = 1_000
"""Schedulers of one queue that are listed; more are not looked at."""

NOT_OF_A_TEMPLATE = ("delay", "job_id", "timestamp", "parent", "if_failed")
"""Options that each iteration gets from its scheduler, or that make no sense for many jobs."""

_encode = compact()


@dataclass(frozen=True, slots=True)
class Repeat:
    """When a scheduler's jobs are due: `pattern` in `timezone`, or `every_ms`. Moments are ms since 1970.

    `limit`: this many iterations. `offset_ms`: `every` counts from 1970 plus that; None: from its first run.
    `immediately`: the first iteration of a pattern is due at once.
    """

    every_ms: int | None = None
    pattern: str | None = None
    timezone: str | None = None
    limit: int | None = None
    start_at: int | None = None
    end_at: int | None = None
    offset_ms: int | None = None
    immediately: bool = False

    def checked(self, now_ms: int) -> Repeat:
        """Return it when it can be.

        Raises:
            InputError: it cannot; the text names the argument.
        """
        if (self.every_ms is None) == (self.pattern is None):
            raise InputError("a schedule has one of `cron` and `every`")
        if self.every_ms is not None and self.every_ms < 1:
            raise InputError("every: must be longer than 0")
        if self.limit is not None and self.limit < 1:
            raise InputError("limit: must be at least 1")
        if self.immediately and self.start_at is not None:
            raise InputError("immediately and start cannot be used together")
        if self.end_at is not None and self.end_at <= now_ms:
            raise InputError("end: must be in the future")
        if self.pattern is not None:
            self.next_after(now_ms)
        elif self.timezone is not None:
            raise InputError("timezone: goes with `cron`, an interval has none")
        return self

    def next_after(self, moment_ms: int) -> int | None:
        """Return when the pattern is due next, strictly after a moment; None when never, or after the end."""
        from jobd.engine.cron import cron

        found = cron(self.pattern or "", self.timezone or "UTC").after(moment_ms)
        return None if found is None or (self.end_at is not None and found > self.end_at) else found

    def first_slot(self, now_ms: int) -> int | None:
        """Return the first due time of a pattern; None when there is none."""
        return now_ms if self.immediately else self.next_after(max(now_ms, self.start_at or 0))

    def stored(self) -> dict[str, Any]:
        """The words of BullMQ, in the scheduler's hash and in the option `repeat` of its jobs."""
        known = {
            "tz": self.timezone, "limit": self.limit, "pattern": self.pattern, "startDate": self.start_at,
            "endDate": self.end_at, "every": self.every_ms, "offset": self.offset_ms,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Repeat:
        """Return what BullMQ's words say, in a hash (texts) or in JSON; what is no number is left out."""
        return cls(
            whole(stored.get("every")), stored.get("pattern") or None, stored.get("tz") or None,
            whole(stored.get("limit")), _moment(stored.get("startDate")), _moment(stored.get("endDate")),
            whole(stored.get("offset")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policies:
    """What BullMQ has no word for; kept by jobd beside the scheduler, and obeyed by jobd's workers.

    `overlap`: what an iteration does whose predecessor is not through: "allow" runs it, "queue" lets it wait, "skip"
    leaves it out. `catch_up`: "once" runs an iteration however late, "none" leaves out one that nobody took in time.
    `jitter_ms`: it is due up to that much later, each time by another length.
    """

    overlap: str = "allow"
    catch_up: str = "once"
    jitter_ms: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """What each iteration is: the job's name, its data and its options, both as JSON ("" for {})."""

    name: str
    data: str = ""
    opts: str = ""

    def options(self) -> dict[str, Any]:
        """Return the options as an object.

        Raises:
            Refused: others have written what is none.
        """
        try:
            found = json.loads(self.opts) if self.opts else {}
            _encode(found)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Refused("schedule-broken", f"the options of its jobs are no JSON object: {self.opts[:60]!r}")
        return found

    @classmethod
    def of(cls, name: str, data: Any, options: Mapping[str, Any], *, now_ms: int) -> Template:
        """Return the template of checked options, which are those of `add`.

        Raises:
            InputError: something is wrong with them.
        """
        for option in NOT_OF_A_TEMPLATE:
            if options.get(option) is not None:
                raise InputError(f"{option}: each run of a schedule gets its own")
        job = new_job(name, data, options, now_ms=now_ms)
        opts = {key: value for key, value in job.opts.items() if key != "attempts" or value}
        text = job.data.decode()
        return cls(name, "" if text == "{}" else text, _encode(opts) if opts else "")


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler as it lies in Redis. `next_at` is the slot of its current iteration, ms.

    `iterations`: made so far. `note`: what jobd keeps of one of a jobd.toml, else empty. `paused`: {"by", "at"} or
    None; `next_at` is where it stopped then.
    `last_run`: slot of the run that began last, where jobd's workers know; `missed`: slots that passed without one.
    """

    id: str
    repeat: Repeat
    template: Template
    iterations: int
    next_at: int | None
    note: dict[str, Any] = field(default_factory=dict)
    paused: dict[str, Any] | None = None
    last_run: int | None = None
    missed: int = 0

    def has_ended(self, now_ms: int) -> bool:
        """Whether no run comes any more: its end is over, or as many as its limit were made and are over."""
        repeat = self.repeat
        if repeat.end_at is not None and repeat.end_at < now_ms and (self.next_at or 0) < now_ms:
            return True
        return repeat.limit is not None and self.iterations >= repeat.limit and (self.next_at or 0) < now_ms


def upcoming(found: Scheduler, count: int, *, now_ms: int) -> list[int]:
    """Return the next due times of a scheduler, ms: that of its current run, and those after it as far as there are.

    Raises:
        InputError: its pattern or its zone cannot be read here.
    """
    if found.next_at is None or found.has_ended(now_ms):
        return []
    repeat, times = found.repeat, [found.next_at]
    left = count if repeat.limit is None else min(count, repeat.limit - found.iterations + 1)
    while len(times) < left:
        # The current run may be overdue: whoever takes it leaves out what has passed by then.
        base = max(times[-1], now_ms)
        following = _after(repeat, times[-1], base)
        if following is None or (repeat.end_at is not None and base > repeat.end_at):
            break
        times.append(following)
    return times[:count]


def _after(repeat: Repeat, slot: int, base: int) -> int | None:
    if repeat.pattern is not None:
        return repeat.next_after(base)
    every = repeat.every_ms or 0
    return slot + every * ((base - slot) // every + 1) if every else None


def check_scheduler_id(sid: Any) -> str:
    """Return the id; raises InputError when it cannot name a scheduler."""
    if not isinstance(sid, str) or not sid:
        raise InputError("the id of a schedule must be text and not empty")
    try:
        sid.encode()
    except UnicodeEncodeError:
        raise InputError(f"the id of a schedule is not valid text: {sid!r}") from None
    return sid


def upsert_scheduler(
    keys: Keys, sid: str, repeat: Repeat, template: Template, *, now_ms: int, note: Mapping[str, Any] | None = None,
    late_ms: int = 0, resumed: Scheduler | None = None,
) -> Command[tuple[str, int]] | None:  # fmt: skip
    """Make a scheduler, or change the one of that id. None: it would never be due, and nothing is done, as in BullMQ.

    The result is (id of the job that is due next, its delay in ms), or ("", code): ITERATION_EXISTS or SLOTS_TAKEN.

    Args:
        note: What jobd keeps of it (its owner and policies); None leaves what there is.
        late_ms: How long after its slot the first iteration is due.
        resumed: It was paused like this, and goes on from there.
    """
    slot = None if repeat.pattern is None else repeat.first_slot(now_ms)
    if repeat.pattern is not None and slot is None:
        return None
    opts = template.options()
    opts["repeat"] = {**repeat.stored(), "count": 1}
    words = (
        2, keys.meta, keys.repeat,
        keys.base, now_ms, check_scheduler_id(sid), _encode({"name": template.name, **repeat.stored()}),
        template.data, template.opts, _encode(opts), "" if slot is None else slot, late_ms,
        "" if note is None else _encode(note),
        "" if resumed is None or resumed.next_at is None else resumed.next_at,
        "" if resumed is None else resumed.iterations,
    )  # fmt: skip

    def read(reply: Any) -> tuple[str, int]:
        return ("", int(reply[0])) if isinstance(reply[0], int) else (reply[0].decode(), int(reply[1]))

    return Command(words, read, script("upsert_scheduler"))


def remove_scheduler(keys: Keys, sid: str, *, owner: str = "", gone: Mapping[str, Any] | None = None) -> Command[int]:
    """Remove a scheduler and its iteration that is not due yet. Returns 1, or 0 when there is none.

    With `owner` only one that the jobd.toml of that [app] name made: SCHEDULER_JOB (codes.Code) when it is another's;
    `gone` is then kept of it.
    """
    words = (
        3, keys.repeat, keys.delayed, keys.schedules, keys.base, sid, owner, "" if gone is None else _encode(gone),
    )  # fmt: skip
    return Command(words, int, script("remove_scheduler"))


def pause_scheduler(keys: Keys, sid: str, *, who: str, now_ms: int) -> Command[int]:
    """Let a scheduler make no more iterations. Returns 1, 2 when it was paused, 0 when there is none."""
    words = (3, keys.repeat, keys.delayed, keys.schedules, keys.base, sid, who, now_ms)
    return Command(words, int, script("pause_scheduler"))


def list_schedulers(keys: Keys, sid: str = "") -> Command[list[Scheduler]]:
    """Read the schedulers of a queue, the one that is due next first and paused ones last; or the one with an id."""
    words = (2, keys.repeat, keys.schedules, keys.base, sid, MOST)
    return Command(words, lambda reply: [_scheduler(row) for row in reply], script("list_schedulers"))


def slot_of(job_id: str) -> int | None:
    """Return the slot in the id of an iteration, ms; None when there is none."""
    return whole(job_id.rpartition(":")[2])


def policies_of(note: Mapping[str, Any]) -> Policies:
    """Return the policies of a note of jobd's."""
    return Policies(note.get("overlap", "allow"), note.get("catch_up", "once"), whole(note.get("jitter_ms")) or 0)


def _scheduler(row: list[Any]) -> Scheduler:
    sid, slot, fields, note, paused, last, missed = row
    texts = [text.decode(errors="replace") for text in fields]
    stored = dict(zip(texts[::2], texts[1::2], strict=True))
    kept = load_json(paused) if not slot else None
    if isinstance(kept, dict):
        stored = kept.get("fields") or {}
    return Scheduler(
        sid.decode(errors="replace"),
        Repeat.of(stored),
        Template(stored.get("name", ""), stored.get("data", ""), stored.get("opts", "")),
        whole(stored.get("ic")) or 0,
        whole(slot.decode() if slot else (kept or {}).get("slot")),
        load_json(note) or {},
        {"by": kept.get("by"), "at": whole(kept.get("at"))} if isinstance(kept, dict) else None,
        slot_of(last.decode(errors="replace")),
        whole(missed.decode(errors="replace")) or 0,
    )


def load_json(text: bytes | None) -> Any:
    """Return what a JSON text says; None for "" and for what is none."""
    try:
        return json.loads(text or b"null")
    except (ValueError, RecursionError):
        return None


def whole(value: Any) -> int | None:
    """Return a number of JSON, or the text of one, without its fraction; None for what is none."""
    try:
        return None if isinstance(value, bool) or value is None else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def _moment(value: Any) -> int | None:
    """Return a moment in ms; JSON has it as a number, or as the text that a JavaScript Date writes."""
    if isinstance(value, str) and not value.isdecimal():
        from datetime import datetime

        try:
            return int(datetime.fromisoformat(value).timestamp() * 1000)
        except ValueError:
            return None
    return whole(value)
