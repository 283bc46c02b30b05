"""Looks for what is wrong, place by place."""

from __future__ import annotations

from jobd.operations.doctor.hosts import about_hosts, about_packages
from jobd.operations.doctor.keys import orphaned_keys, wrong_keys
from jobd.operations.doctor.queues import about_queues
from jobd.operations.doctor.server import about_server
from jobd.operations.doctor.sizes import sizes_of
from jobd.operations.documents.doctor import Diagnosis, Finding
from jobd.operations.operation import Place
from jobd.operations.params.kinds import Nothing
from jobd.operations.queues import facts_or_faults, queue_names


async def diagnose(place: Place, params: Nothing) -> Diagnosis:
    """Look for what is wrong and tell what mends it; changes nothing.

    Looks at the keys of the Redis, 50,000 at most.
    """
    del params
    findings: list[Finding] = []
    info, about_redis, found = await about_server(place)
    findings += found
    names = sorted({*await queue_names(place.runner, place.prefix), *await place.own_queues()})
    facts, found = await wrong_keys(place, await facts_or_faults(place, names))
    findings += found
    signs, found = await about_hosts(place)
    findings += found
    findings += await about_queues(place, facts, signs)
    findings += await orphaned_keys(place)
    findings += list(about_packages())
    if place.host is not None:
        findings += await place.host.findings()
    sizes = await sizes_of(place, facts) if info else []
    findings.sort(key=lambda finding: finding["level"] != "error")
    return {"findings": findings, "queues": sizes, "redis": about_redis}
