"""What `doctor` says of keys: of a wrong type, written by somebody else, or of jobs that are gone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from jobd.engine import inspect as ask
from jobd.engine.keys import Keys, literal
from jobd.engine.options import is_own_key
from jobd.engine.reading import QueueFacts, WrongKey
from jobd.operations.documents.doctor import error, warning
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.operations.documents.doctor import Finding
    from jobd.operations.operation import Place

_KEYS_LOOKED_AT = 50_000

_OF_A_JOB = ("lock", "logs", "dependencies", "processed", "failed", "unsuccessful")


async def wrong_keys(
    place: Place, queues: Mapping[str, QueueFacts | WrongKey]
) -> tuple[dict[str, QueueFacts], list[Finding]]:
    """Return the facts of the queues that can be read, and what is wrong with the keys of these and the others."""
    sound = {name: facts for name, facts in queues.items() if isinstance(facts, QueueFacts)}
    wrong = [(name, fault) for name, fault in queues.items() if isinstance(fault, WrongKey)]
    looked_at = [(name, key, wanted) for name in queues for key, wanted in _beside(Keys(place.prefix, name))]
    kinds = await place.runner.run_many([ask.key_type(key) for _, key, _ in looked_at])
    wrong += [
        (name, WrongKey(key, kind, wanted))
        for (name, key, wanted), kind in zip(looked_at, kinds, strict=True)
        if kind not in ("none", wanted)
    ]
    then = "workers and producers of this queue fail, and nothing else can be said of it"
    return sound, [error("wrong-type", name, fault.text, then=then, mend=fault.mend) for name, fault in wrong]


def _beside(keys: Keys) -> list[tuple[str, str]]:
    """Return the keys that counting does not touch, each with the type it must have."""
    return [(keys.id, "string"), (keys.events, "stream"), (keys.stalled, "set"), (keys.marker, "zset"),
            (keys.repeat, "zset")]  # fmt: skip


async def orphaned_keys(place: Place) -> list[Finding]:
    """Find keys of jobs that are gone: BullMQ leaves some behind when a job is removed in the middle of something."""
    suspects: dict[str, str] = {}
    cursor = looked_at = 0
    while looked_at < _KEYS_LOOKED_AT:
        cursor, keys = await place.runner.run(ask.keys_like(f"{literal(place.prefix)}:*:*:*", cursor))
        looked_at += 1000
        for key in keys:
            base, _, kind = key.rpartition(":")
            job_id = base[len(place.prefix) + 1 :].partition(":")[2]
            # The queue's own keys have such names, too: BullMQ's metrics end in "failed".
            if kind in _OF_A_JOB and not is_own_key(job_id) and not is_own_key(f"{job_id}:{kind}"):
                suspects[key] = base
        if cursor == 0:
            break
    bases = sorted(set(suspects.values()))
    there = dict(zip(bases, await place.runner.run_many([ask.exists(base) for base in bases]), strict=True))
    gone = [key for key, base in suspects.items() if not there[base]]
    by_queue = Counter(key[len(place.prefix) + 1 :].rsplit(":", 2)[0] for key in gone)
    return [
        warning(
            "orphaned-keys",
            queue,
            f"{plural(count, 'key')} of jobs that are gone, such as "
            + next(key for key in gone if key.startswith(f"{place.prefix}:{queue}:")),
            then="they take memory, and a new job of such an id finds them",
            mend=f"jobd queue remove-orphans {queue}",
        )
        for queue, count in sorted(by_queue.items())
    ]
