"""What `doctor` says of the Redis server: its pace, clock, memory, persistence, connections and version."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from jobd.duration import format_size
from jobd.engine import inspect as ask
from jobd.operations.doctor.asking import answer_if_allowed
from jobd.operations.documents.doctor import error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.operations.documents.doctor import Finding
    from jobd.operations.operation import Place

_SLOW_MS = 20.0
_CLOCK_WARNING_S = 1.0


async def about_server(place: Place) -> tuple[dict[str, str], dict[str, str], list[Finding]]:
    """Return what INFO says, what of it people want to see, and what is wrong."""
    trips, clocks = [], []
    for _ in range(5):
        sent = time.time()
        there = await place.runner.run(ask.server_time())
        back = time.time()
        trips.append((back - sent) * 1000)
        clocks.append(there - (sent + back) / 2)
    info = await answer_if_allowed(place, ask.server_info()) or {}
    findings = list(_pace(median(trips), min(clocks, key=abs)))
    save = await answer_if_allowed(place, ask.server_setting("save"))
    limit = info.get("maxclients") or await answer_if_allowed(place, ask.server_setting("maxclients"))
    findings += _of_info(info, save, int(limit or 0))
    told = {"round trip": f"{median(trips):.1f} ms"}
    if info:
        told |= {
            "version": info.get("valkey_version") or info.get("redis_version", "?"),
            "memory": format_size(int(info.get("used_memory", 0))),
            "connections": f"{info.get('connected_clients', '?')} of {limit or '?'}",
        }
    return info, told, findings


def _pace(trip_ms: float, clock_s: float) -> Iterator[Finding]:
    if trip_ms > _SLOW_MS:
        yield warning(
            "redis-slow",
            "redis",
            f"a round trip takes {trip_ms:.0f} ms",
            then="each job waits for at least one",
            mend="redis-cli --latency",
        )
    if abs(clock_s) > _CLOCK_WARNING_S:
        yield warning(
            "redis-clock",
            "redis",
            f"its clock is {clock_s:+.1f}s off this host's",
            then="delayed jobs start too early or too late",
            mend="timedatectl set-ntp true    # on both",
        )


def _of_info(info: dict[str, str], save: str | None, clients_max: int) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy")
    if policy not in (None, "noeviction"):
        yield error(
            "eviction-policy",
            "redis",
            f"maxmemory-policy is {policy}, not noeviction",
            then="when its memory is full it silently deletes jobs and locks",
            mend="redis-cli CONFIG SET maxmemory-policy noeviction",
        )
    if int(info.get("evicted_keys", 0)):
        yield warning(
            "eviction-seen",
            "redis",
            f"{info['evicted_keys']} keys were evicted since it started",
            then="jobs may be missing",
            mend="redis-cli CONFIG SET maxmemory-policy noeviction",
        )
    if save == "" and info.get("aof_enabled") == "0":
        yield warning(
            "no-persistence",
            "redis",
            "nothing is written to disk: no append-only file, no snapshots",
            then="a restart of the server loses every job",
            mend="redis-cli CONFIG SET appendonly yes",
        )
    for field in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info.get(field, "ok") != "ok":
            yield warning(
                "persistence-fails",
                "redis",
                f"{field} is {info[field]}",
                then="it may refuse to write, and a restart loses what is not on disk",
                mend="df -h; redis-cli INFO persistence",
            )
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > 0.9 * limit:
        yield warning(
            "memory-full",
            "redis",
            f"{format_size(used)} of {format_size(limit)} are used",
            then="when it is full no job can be added or finished",
            mend="jobd queue clean QUEUE --state completed --older 1d",
        )
    clients = int(info.get("connected_clients", 0))
    if clients_max and clients > 0.8 * clients_max:
        yield warning(
            "connections",
            "redis",
            f"{clients} of {clients_max} connections are in use",
            then="workers that start or reconnect will be refused",
            mend="redis-cli CONFIG SET maxclients 20000",
        )
    yield from _old(info)


def _old(info: dict[str, str]) -> Iterator[Finding]:
    version = info.get("redis_version", "6.2")
    parts = version.split(".")
    if "valkey_version" not in info and parts[0].isdigit() and (int(parts[0]), int(parts[1])) < (6, 2):
        yield warning(
            "redis-old",
            "redis",
            f"version {version}; BullMQ and jobd need 6.2",
            then="commands fail",
            mend="apt install redis-server    # or a newer image",
        )
