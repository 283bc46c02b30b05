"""Who takes a queue's jobs: jobd's hosts by their signs, BullMQ's workers by the names of their connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd.engine.inspect import client_names, worker_name
from jobd.engine.keys import Keys
from jobd.errors import RedisRefused
from jobd.operations.hosts import signs_of_hosts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobd.engine.hosts import HostSign
    from jobd.operations.operation import Place


@dataclass(frozen=True, slots=True)
class Serving:
    """The queues that jobd's daemons serve, and the names of all connections; None where this user may not ask."""

    prefix: str
    by_jobd: frozenset[str]
    connections: Sequence[str] | None

    def serves(self, queue: str) -> bool:
        """Return whether somebody takes this queue's jobs, as far as one may know."""
        if queue in self.by_jobd or self.connections is None:
            return True
        own = worker_name(Keys(self.prefix, queue))
        return any(name == own or name.startswith(f"{own}:w:") for name in self.connections)


async def who_serves(place: Place, signs: Iterable[HostSign] | None = None) -> Serving:
    """Return who takes jobs; `signs` are those of the hosts, read here without them."""
    if signs is None:
        signs = await signs_of_hosts(place)
    try:
        connections = await place.runner.run(client_names())
    except RedisRefused:
        connections = None
    by_jobd = {queue for sign in signs for queue in sign.queues} | {*await place.own_queues()}
    return Serving(place.prefix, frozenset(by_jobd), connections)
