"""The next iteration of BullMQ's job schedulers: made by whoever takes one, exactly once (docs/schedules.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.compact_json import compact
from jobd.engine.runner import Command
from jobd.engine.schedulers import Policies, Repeat, load_json, policies_of, whole
from jobd.engine.scripts import script
from jobd.errors import InputError

if TYPE_CHECKING:
    from jobd.engine.job import Taken
    from jobd.engine.keys import Keys

_encode = compact()


@dataclass(frozen=True, slots=True)
class Iteration:
    """What became of one taken job of a scheduler.

    `next_at`: slot of the iteration that was made, None when none was. `policies`: of a jobd.toml's schedule.
    `other`: a run of the same schedule that is not through, when `policies.overlap` asks for it.
    """

    next_at: int | None
    policies: Policies
    other: str | None


def next_iteration(keys: Keys, taken: Taken, *, now_ms: int, chance: float) -> Command[Iteration]:
    """Make the iteration after a taken one, unless it was made, is one too many, or the scheduler is gone.

    Raises:
        InputError: when its pattern is due next cannot be told: the pattern or zone is wrong, or croniter is missing;
            or its options hold what JSON cannot.
    """
    sid = taken.scheduler_id or ""
    opts = _opts_of(taken)
    slot: int | None = None
    missed = 0
    following = _following(opts, now_ms) if opts is not None else None
    if following is not None:
        opts, slot, missed = following
    try:
        # Half a character pair becomes \udXXX, which is also what JSON calls it.
        written = b"" if following is None else _encode(opts).encode("utf-8", "backslashreplace")
    except (ValueError, RecursionError) as error:  # 1e999 was read as infinite
        raise InputError(f"its options cannot be written: {error}") from None
    words = (
        3, keys.repeat, keys.schedules, keys.active,
        keys.base, now_ms, sid, taken.id, written, "" if slot is None else slot,
        missed, f"{chance:.6f}", int(taken.attempts_made == 0),
    )  # fmt: skip

    def read(reply: Any) -> Iteration:
        made, note, other = reply
        return Iteration(
            None if made < 0 else made, policies_of(load_json(note) or {}), other.decode(errors="replace") or None
        )

    return Command(words, read, script("next_iteration"))


def _following(opts: dict[str, Any], now_ms: int) -> tuple[dict[str, Any], int | None, int] | None:
    """Return options, slot (of a pattern) and missed slots of the next iteration; None when there is to be none."""
    stored = opts.get("repeat")
    if not isinstance(stored, dict):
        return None
    repeat = Repeat.of(stored)
    count = (whole(stored.get("count")) or 0) + 1
    if (repeat.limit is not None and count > repeat.limit) or (repeat.end_at is not None and now_ms > repeat.end_at):
        return None
    slot, missed = None, 0
    if repeat.pattern is not None:
        prev = whole(opts.get("prevMillis")) or 0
        slot = repeat.next_after(max(now_ms, prev))
        if slot is None:
            return None
        missed = _missed(repeat, prev, now_ms) if prev else 0
    backoff = opts.get("backoff")
    if isinstance(backoff, int | float) and not isinstance(backoff, bool):
        opts["backoff"] = {"type": "fixed", "delay": backoff}  # as BullMQ writes a job's options when it reads them
    return {"attempts": 0, **opts, "repeat": {**stored, "count": count}}, slot, missed


def _missed(repeat: Repeat, prev: int, now_ms: int) -> int:
    """Return how many due times of a pattern lie between its current iteration and now, 100 at most."""
    for count in range(100):
        due = repeat.next_after(prev)
        if due is None or due > now_ms:
            return count
        prev = due
    return 100


def _opts_of(taken: Taken) -> dict[str, Any] | None:
    opts = load_json(taken.opts)
    return opts if isinstance(opts, dict) else None
