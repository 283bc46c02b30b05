"""Change one job by hand where it is: when it is due, its priority, its data; and what nobody's lists name any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jobd.engine.admin import about_job
from jobd.engine.codes import Code
from jobd.engine.keys import literal
from jobd.engine.options import is_own_key
from jobd.engine.runner import Command
from jobd.engine.scripts import script
from jobd.engine.turn import Note, annotate, decode_id, decode_ids, encode_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.engine.bulk import Tally
    from jobd.engine.keys import Keys
    from jobd.engine.runner import Steps

_PAGE = 1000
"""Keys looked at, or ids read, in one round trip."""

_CHECKED = 50
"""Suspected orphans of one script: each may cost a look through the whole of `wait`."""

_JOB_ID = re.compile(r"[^:]+|repeat:.+:\d+|(?!(?:repeat|de|dn|metrics):)[^:]+:[^:]+:[^:]+", re.DOTALL)
"""What can be the id of a job: no colon, one of a scheduler, or three parts that are no other key of the queue."""

_LEFT_KEYS = frozenset({"logs", "dependencies", "processed", "failed", "unsuccessful", "lock"})
"""What may be left of a job whose hash is gone."""


def change_delay(keys: Keys, job_id: str, *, delay_ms: int, now_ms: int) -> Command[int]:
    """Let a delayed job be due in `delay_ms`. Returns 0, MISSING_JOB or WRONG_STATE (codes.Code)."""
    words = (4, keys.job(job_id), keys.delayed, keys.meta, keys.events, keys.base, job_id, now_ms, delay_ms)
    return about_job(job_id, words, "change_delay")


def change_priority(keys: Keys, job_id: str, *, priority: int, lifo: bool = False) -> Command[int]:
    """Give a job another priority, 0 for none; `lifo` before its equals. Returns 0 or MISSING_JOB (codes.Code)."""
    words = (3, keys.job(job_id), keys.wait, keys.prioritized, keys.base, job_id, priority, int(lifo))
    return about_job(job_id, words, "change_priority")


def update_data(keys: Keys, job_id: str, data: bytes) -> Command[list[int]]:
    """Replace a job's data (JSON). Returns [0] or [MISSING_JOB] (codes.Code)."""
    if is_own_key(job_id):
        return Command(("ECHO", ""), lambda _: [int(Code.MISSING_JOB)])
    return annotate(keys, [Note("data", job_id, data)])


def counts_per_priority(keys: Keys, priority: int) -> Command[int]:
    """Count the jobs that wait with a priority; 0 counts those without one."""
    if priority == 0:
        return Command(("LLEN", keys.wait), int)
    first = priority * 2**32
    return Command(("ZCOUNT", keys.prioritized, first, first + 2**32 - 1), int)


def priorities_in_use(keys: Keys, most: int) -> Steps[dict[int, int]]:
    """Count the jobs that wait by their priority: the first `most` that are in use, not those without one."""
    found: dict[int, int] = {}
    [lowest] = yield [_priority_from(keys, 0)]
    while lowest is not None and len(found) < most:
        count, following = yield [counts_per_priority(keys, lowest), _priority_from(keys, lowest + 1)]
        found[lowest], lowest = count, following
    return {priority: count for priority, count in found.items() if count}


def _priority_from(keys: Keys, priority: int) -> Command[int | None]:
    """Read the first priority in use that is not below this one."""
    words = ("ZRANGEBYSCORE", keys.prioritized, priority * 2**32, "+inf", "WITHSCORES", "LIMIT", 0, 1)
    return Command(words, lambda reply: int(float(reply[1])) // 2**32 if reply else None)


def removing_orphans(keys: Keys, tally: Tally, *, dry_run: bool = False) -> Steps[None]:
    """Delete the jobs that are in no state any more, and the keys left of jobs that are gone: what a peer left behind.

    Looks at every key of the Redis. What is added meanwhile is safe: each suspect is looked for in every state in the
    script that deletes it.
    """
    listed: set[str] = set()
    seen: set[str] = set()
    for key in (keys.wait, keys.legacy_paused, keys.active):
        start = 0
        while True:
            [ids] = yield [Command(("LRANGE", key, start, start + _PAGE - 1), decode_ids)]
            listed.update(ids)
            start += _PAGE
            if len(ids) < _PAGE:
                break
    cursor = 0
    while True:
        [(cursor, found)] = yield [_scan(keys, cursor)]
        suspects = [job_id for job_id in found if job_id not in listed]
        for start in range(0, len(suspects), _CHECKED):
            [gone] = yield [_remove_orphans(keys, suspects[start : start + _CHECKED], only_look=dry_run)]
            # A job of several keys was met with each of them, and is deleted with the first.
            new = [job_id for job_id in gone if job_id not in seen]
            seen.update(new)
            tally.add(new)
        if cursor == 0:
            return


def _scan(keys: Keys, cursor: int) -> Command[tuple[int, list[str]]]:
    """Look through part of the keys for those of jobs of this queue; returns the ids those may have."""
    pattern = literal(keys.base) + "*"
    start = len(keys.base.encode())

    def read(reply: Any) -> tuple[int, list[str]]:
        ids = (job_id for key in reply[1] for job_id in _ids_of(decode_id(key[start:])))
        return int(reply[0]), list(dict.fromkeys(ids))

    return Command(("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE), read)


def _ids_of(name: str) -> Iterator[str]:
    """Yield the ids of which this may be the hash, or a key beside it."""
    if is_own_key(name):
        return  # "metrics:failed" is not what a job "metrics" has left
    job_id, _, kind = name.rpartition(":")
    for candidate in (name, job_id) if kind in _LEFT_KEYS else (name,):
        if _JOB_ID.fullmatch(candidate) and not is_own_key(candidate):
            yield candidate


def _remove_orphans(keys: Keys, ids: list[str], *, only_look: bool = False) -> Command[list[str]]:
    return Command((1, keys.base, int(only_look), *map(encode_id, ids)), decode_ids, script("remove_orphans"))
