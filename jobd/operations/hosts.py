"""Daemons on a Redis: what the operation `host.list` does there."""

from __future__ import annotations

from jobd.engine.hosts import HostSign, read_signs, sign_names
from jobd.operations.documents.hosts import Host, HostList
from jobd.operations.operation import Place
from jobd.operations.params.kinds import Nothing


async def list_hosts(place: Place, params: Nothing) -> HostList:
    """Tell every daemon on this Redis under the prefix, those of other hosts too.

    One that was killed is listed until it has given no sign for 30 seconds.
    """
    del params
    signs = sorted(await signs_of_hosts(place), key=lambda sign: (sign.host, sign.pid))
    return {"hosts": [host_row(sign) for sign in signs]}


async def signs_of_hosts(place: Place) -> list[HostSign]:
    """Return the signs of every daemon on this Redis under the prefix."""
    names = await place.runner.run(sign_names(place.prefix))
    found = await place.runner.run_many(read_signs(place.prefix, names))
    return [sign for sign in found if sign is not None]


def host_row(sign: HostSign) -> Host:
    """Return a daemon as it is shown."""
    return {
        "pid": sign.pid,
        "host": sign.host,
        "version": sign.version,
        "generation": sign.generation,
        "queues": list(sign.queues),
        "since": sign.since,
        "app": sign.app,
        "config": sign.config,
        "incarnation": sign.id,
    }
