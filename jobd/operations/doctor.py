"""`doctor`: what is wrong with this Redis, its queues, this host and the others, and what mends it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from importlib.metadata import PackageNotFoundError, distribution
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from jobd.duration import format_duration, format_size
from jobd.engine import inspect as ask
from jobd.engine.hosts import LIFE_MS, sign_ages
from jobd.engine.keys import Keys
from jobd.engine.options import is_own_key
from jobd.engine.reading import QueueFacts, list_jobs
from jobd.engine.states import State
from jobd.errors import RedisRefused
from jobd.operations.doctor_documents import Diagnosis, Finding, QueueSize, error, warning
from jobd.operations.doctor_keys import wrong_keys
from jobd.operations.handed_back import HANDED_BACK_OFTEN, outlasts
from jobd.operations.hosts import signs_of_hosts
from jobd.operations.operation import Place
from jobd.operations.params import Nothing
from jobd.operations.queues import facts_or_faults, queue_names
from jobd.operations.serving import who_serves
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobd.engine.hosts import HostSign
    from jobd.engine.runner import Command

T = TypeVar("T")

LOCK_MS = 30_000
"""BullMQ's `lockDuration`: what a clock may be off is measured against it where no host says otherwise."""

_LATE_MS = 60_000
"""A delayed job that was due longer ago is not merely waiting for a worker's next look."""

_SLOW_MS = 20.0
_CLOCK_WARNING_S = 1.0
_HISTORY_MAX = 100_000
"""Finished jobs that a queue may keep before it counts as unbounded."""

_KEYS_LOOKED_AT = 50_000
_ACTIVE_LOOKED_AT = 1000
_HANDED_BACK_LOOKED_AT = 100
_SETTLE_S = 0.3
"""A job between take and lock, or between finish and removal, is in order by then."""

_OF_A_JOB = ("lock", "logs", "dependencies", "processed", "failed", "unsuccessful")


async def diagnose(place: Place, params: Nothing) -> Diagnosis:
    """Look for what is wrong and tell what mends it; changes nothing.

    Looks at the keys of the Redis, 50,000 at most.
    """
    del params
    findings: list[Finding] = []
    info, about_redis, found = await _redis(place)
    findings += found
    names = sorted({*await queue_names(place.runner, place.prefix), *await place.own_queues()})
    facts, found = await wrong_keys(place, await facts_or_faults(place, names))
    findings += found
    signs, found = await _hosts(place)
    findings += found
    findings += await _queues(place, facts, signs)
    findings += await _orphans(place)
    findings += list(_packages())
    if place.host is not None:
        findings += await place.host.findings()
    sizes = await _sizes(place, facts) if info else []
    findings.sort(key=lambda finding: finding["level"] != "error")
    return {"findings": findings, "queues": sizes, "redis": about_redis}


async def _allowed(place: Place, command: Command[T]) -> T | None:
    """Return the answer, None where this user may not ask."""
    try:
        return await place.runner.run(command)
    except RedisRefused:
        return None


# --- Redis -----------------------------------------------------------------------------------------------------------


async def _redis(place: Place) -> tuple[dict[str, str], dict[str, str], list[Finding]]:
    """Return what INFO says, what of it people want to see, and what is wrong."""
    trips, clocks = [], []
    for _ in range(5):
        sent = time.time()
        there = await place.runner.run(ask.server_time())
        back = time.time()
        trips.append((back - sent) * 1000)
        clocks.append(there - (sent + back) / 2)
    info = await _allowed(place, ask.server_info()) or {}
    findings = list(_pace(median(trips), min(clocks, key=abs)))
    save = await _allowed(place, ask.server_setting("save"))
    limit = info.get("maxclients") or await _allowed(place, ask.server_setting("maxclients"))
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


# --- queues ----------------------------------------------------------------------------------------------------------


async def _queues(place: Place, queues: dict[str, QueueFacts], signs: Iterable[HostSign]) -> list[Finding]:
    serving = await who_serves(place, signs)
    findings: list[Finding] = []
    for name, facts in queues.items():
        keys = Keys(place.prefix, name)
        served = serving.serves(name)
        findings += _unserved(name, facts, served=served)
        findings += await _unlocked(place, keys, facts)
        findings += await _handed_back(place, keys)
        findings += _unbounded(name, facts)
        late = (
            0 if facts.paused else await place.runner.run(ask.overdue_count(keys, int(time.time() * 1000) - _LATE_MS))
        )
        if late and served:
            findings.append(
                warning(
                    "delayed-in-the-past",
                    name,
                    f"{plural(late, 'delayed job')} should have started over a minute ago",
                    then="they wait until a worker takes the next job",
                    mend=f"jobd job promote {name} --state delayed --all",
                )
            )
    return findings


def _unserved(name: str, facts: QueueFacts, *, served: bool) -> Iterator[Finding]:
    due = facts.counts[State.WAITING] + facts.counts[State.PRIORITIZED] + facts.counts[State.DELAYED]
    if due and not served:
        yield error(
            "no-worker",
            name,
            f"{plural(due, 'job')}, and no worker anywhere takes them",
            then="they wait for ever",
            mend=f"jobd run --queue {name}    # on a host whose jobd.toml has the queue",
        )


async def _unlocked(place: Place, keys: Keys, facts: QueueFacts) -> list[Finding]:
    if not facts.counts[State.ACTIVE]:
        return []
    running: list[str] = await place.runner.run(ask.active_ids(keys, _ACTIVE_LOOKED_AT))
    ids = await _without_lock(place, keys, running)
    if ids:
        await asyncio.sleep(_SETTLE_S)
        running = await place.runner.run(ask.active_ids(keys, _ACTIVE_LOOKED_AT))
        ids = await _without_lock(place, keys, [job_id for job_id in ids if job_id in running])
    if not ids:
        return []
    shown = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
    what = f"{plural(len(ids), 'active job')} without a lock: {shown}"
    then = "no worker runs them; the stalled check of a running worker puts them back, but someone has to run one"
    return [error("active-without-lock", keys.queue, what, then=then, mend=f"jobd run --queue {keys.queue}")]


async def _handed_back(place: Place, keys: Keys) -> list[Finding]:
    """Find jobs that every stop interrupts: they run now, or are at the front of their queue again."""
    ids = [
        *await place.runner.run(ask.active_ids(keys, _HANDED_BACK_LOOKED_AT)),
        *await place.runner.run(ask.next_ids(keys, _HANDED_BACK_LOOKED_AT)),
    ]
    times = await place.runner.run_many([ask.handed_back(keys, job_id) for job_id in ids])
    return [
        warning(
            "handed-back-often",
            keys.queue,
            f"job {job_id} was {outlasts(count)}",
            then="each stop and deploy lets it start from its beginning; it may never be done",
            mend=f"jobd job show {keys.queue} {job_id}",
        )
        for job_id, count in zip(ids, times, strict=True)
        if count >= HANDED_BACK_OFTEN
    ]


async def _without_lock(place: Place, keys: Keys, ids: list[str]) -> list[str]:
    locked = await place.runner.run_many([ask.has_lock(keys, job_id) for job_id in ids])
    return [job_id for job_id, has in zip(ids, locked, strict=True) if not has]


def _unbounded(name: str, facts: QueueFacts) -> Iterator[Finding]:
    for state in (State.COMPLETED, State.FAILED):
        count = facts.counts[state]
        if count > _HISTORY_MAX:
            yield warning(
                "unbounded-history",
                name,
                f"{count:,} {state.value} jobs are kept",
                then="Redis' memory fills up",
                mend=f"jobd queue clean {name} --state {state.value} --older 7d",
            )


async def _orphans(place: Place) -> list[Finding]:
    """Find keys of jobs that are gone: BullMQ leaves some behind when a job is removed in the middle of something."""
    suspects: dict[str, str] = {}
    cursor = looked_at = 0
    while looked_at < _KEYS_LOOKED_AT:
        cursor, keys = await place.runner.run(ask.keys_like(f"{_escaped(place.prefix)}:*:*:*", cursor))
        looked_at += 1000
        for key in keys:
            base, _, kind = key.rpartition(":")
            job_id = base[len(place.prefix) + 1 :].partition(":")[2]
            # The queue's own keys have such names, too: BullMQ's metrics end in "failed".
            if kind in _OF_A_JOB and not is_own_key(job_id):
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
            mend="redis-cli DEL " + next(key for key in gone if key.startswith(f"{place.prefix}:{queue}:")),
        )
        for queue, count in sorted(by_queue.items())
    ]


def _escaped(glob: str) -> str:
    return "".join(f"\\{ch}" if ch in "*?[]\\" else ch for ch in glob)


async def _sizes(place: Place, queues: dict[str, QueueFacts]) -> list[QueueSize]:
    """Return what each queue takes: its lists, and its jobs by a few of them."""
    found: list[QueueSize] = []
    for name, facts in queues.items():
        keys = Keys(place.prefix, name)
        lists = (keys.wait, keys.active, keys.prioritized, keys.delayed, keys.completed, keys.failed, keys.events)
        sizes = await _allowed_many(place, [ask.key_bytes(key) for key in lists])
        jobs = sum(facts.counts.values())
        sampled: list[int] = []
        for state, count in facts.counts.items():
            if count and len(sampled) < 6:
                listed = await place.runner.run(list_jobs(keys, State(state), 0, 2, field_max=0))
                ids = [job if isinstance(job, str) else job.id for job in listed]
                sampled += await _allowed_many(place, [ask.key_bytes(keys.job(job_id)) for job_id in ids])
        each = sum(sampled) / len(sampled) if sampled else 0.0
        found.append({"name": name, "jobs": jobs, "bytes": round(sum(sizes) + each * jobs)})
    return sorted(found, key=lambda size: -size["bytes"])


async def _allowed_many(place: Place, commands: list[Command[int]]) -> list[int]:
    try:
        return await place.runner.run_many(commands)
    except RedisRefused:
        return []


# --- hosts -----------------------------------------------------------------------------------------------------------


async def _hosts(place: Place) -> tuple[list[HostSign], list[Finding]]:
    signs = await signs_of_hosts(place)
    ages = await place.runner.run_many(sign_ages(place.prefix, [sign.id for sign in signs]))
    now = await place.runner.run(ask.server_time())
    findings: list[Finding] = []
    for sign, age_ms in zip(signs, ages, strict=True):
        if not sign.now or age_ms is None or not 0 <= age_ms <= LIFE_MS:
            continue
        off_s = abs(sign.now / 1000 - (now - age_ms / 1000))
        if off_s > LOCK_MS / 4000:
            findings.append(
                error(
                    "host-clock",
                    sign.host,
                    f"its clock is {format_duration(off_s * 1000)} off Redis' clock",
                    then="its jobs may start at the wrong time, and its delays are wrong for everybody",
                    mend=f"timedatectl set-ntp true    # on {sign.host}",
                )
            )
    return signs, findings


def _packages() -> Iterator[Finding]:
    try:
        version = distribution("jobd").version
    except PackageNotFoundError:
        return
    yield warning(
        "strange-package",
        "this host",
        f"a package called jobd ({version}) is installed; it is not this one",
        then="both have a module `jobd`, and one hides the other",
        mend="pip uninstall jobd",
    )
