"""Change one job by hand where it is: when it is due, its priority, its data; and what nobody's lists name any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.engine.options import is_own_key
from jobd.engine.runner import Command
from jobd.engine.scripts import script
from jobd.engine.turn import Note, annotate, decode_id, decode_ids, encode_id

if TYPE_CHECKING:
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Steps

_PAGE = 1000
"""Keys looked at, or ids read, in one round trip."""

_CHECKED = 50
"""Suspected orphans of one script: each may cost a look through the whole of `wait`."""


def change_delay(keys: Keys, job_id: str, *, delay_ms: int, now_ms: int) -> Command[int]:
    """Let a delayed job be due in `delay_ms`. Returns 0, MISSING_JOB or WRONG_STATE (codes.Code)."""
    words = (4, keys.job(job_id), keys.delayed, keys.meta, keys.events, keys.base, job_id, now_ms, delay_ms)
    return Command(words, int, script("change_delay"))


def change_priority(keys: Keys, job_id: str, *, priority: int, lifo: bool = False) -> Command[int]:
    """Give a job another priority, 0 for none; `lifo` before its equals. Returns 0 or MISSING_JOB (codes.Code)."""
    words = (3, keys.job(job_id), keys.wait, keys.prioritized, keys.base, job_id, priority, int(lifo))
    return Command(words, int, script("change_priority"))


def update_data(keys: Keys, job_id: str, data: bytes) -> Command[list[int]]:
    """Replace a job's data (JSON). Returns [0] or [MISSING_JOB] (codes.Code)."""
    return annotate(keys, [Note("data", job_id, data)])


def counts_per_priority(keys: Keys, priority: int) -> Command[int]:
    """Count the jobs that wait with a priority; 0 counts those without one."""
    if priority == 0:
        return Command(("LLEN", keys.wait), int)
    first = priority * 2**32
    return Command(("ZCOUNT", keys.prioritized, first, first + 2**32 - 1), int)


def removing_orphans(keys: Keys) -> Steps[int]:
    """Delete the jobs that are in no state any more: hashes that a peer left behind. Looks at every key of the Redis.

    What is added meanwhile is safe: each suspect is looked for in every state in the script that deletes it.
    """
    listed: set[str] = set()
    for key in (keys.wait, keys.legacy_paused, keys.active):
        start = 0
        while True:
            [ids] = yield [Command(("LRANGE", key, start, start + _PAGE - 1), decode_ids)]
            listed.update(ids)
            start += _PAGE
            if len(ids) < _PAGE:
                break
    cursor, removed = 0, 0
    while True:
        [(cursor, found)] = yield [_scan(keys, cursor)]
        suspects = [job_id for job_id in found if job_id not in listed and not is_own_key(job_id)]
        for start in range(0, len(suspects), _CHECKED):
            [gone] = yield [_remove_orphans(keys, suspects[start : start + _CHECKED])]
            removed += gone
        if cursor == 0:
            return removed


def _scan(keys: Keys, cursor: int) -> Command[tuple[int, list[str]]]:
    """Look through part of the keys for what may be the hash of a job of this queue."""
    pattern = "".join(f"\\{c}" if c in "*?[]\\^-" else c for c in keys.base) + "*"
    start = len(keys.base.encode())

    def read(reply: Any) -> tuple[int, list[str]]:
        names = (decode_id(key[start:]) for key in reply[1])
        # Sub keys of a job have one colon, the ids of a scheduler's jobs two.
        return int(reply[0]), [name for name in names if name.count(":") in (0, 2)]

    return Command(("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE), read)


def _remove_orphans(keys: Keys, ids: list[str]) -> Command[int]:
    return Command((1, keys.base, *map(encode_id, ids)), int, script("remove_orphans"))
