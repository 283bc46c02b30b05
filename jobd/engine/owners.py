"""Who took the active jobs, by the name that a taker leaves in the hash (`pb`): it outlives the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.engine.runner import Command
from jobd.engine.turn import decode_ids, encode_id

if TYPE_CHECKING:
    from jobd.engine.keys import Keys


def active_ids(keys: Keys) -> Command[list[str]]:
    """Read the ids of all active jobs, newest first."""
    return Command(("LRANGE", keys.active, 0, -1), decode_ids, safe_twice=True)


def taken_by(keys: Keys, job_id: str) -> Command[str | None]:
    """Read the name of the worker that took a job last (`<host>:<queue>:<pid>`); None when there is none."""
    return Command(("HGET", encode_id(keys.job(job_id)), "pb"), _text, safe_twice=True)


def last_take(keys: Keys, job_id: str) -> Command[tuple[str | None, str | None]]:
    """Read who took a job last, as `taken_by`, and which take of the job that was (`ats`)."""

    def read(reply: list[Any]) -> tuple[str | None, str | None]:
        return _text(reply[0]), _text(reply[1])

    return Command(("HMGET", encode_id(keys.job(job_id)), "pb", "ats"), read, safe_twice=True)


def _text(reply: Any) -> str | None:
    return None if reply is None else bytes(reply).decode("utf-8", "replace")
