"""What `doctor` says of keys of a queue that are of a wrong type: somebody else writes under the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.engine import inspect as ask
from jobd.engine.keys import Keys
from jobd.engine.reading import QueueFacts, WrongKey
from jobd.operations.doctor_documents import error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.operations.doctor_documents import Finding
    from jobd.operations.operation import Place


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
