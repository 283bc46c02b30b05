"""Everything under a key prefix, as values: to compare before and after, and to see that a job is in one state."""

from __future__ import annotations

from typing import Any

import redis

from jobd.engine.keys import Keys

Tables = dict[str, Any]


def tables(r: redis.Redis, prefix: str) -> Tables:
    """Return {key: value} of all keys under the prefix: text, list, set, {member: score}, {field: text}, events.

    Streams come as lists of field dicts without their ids. Lifetimes are left out.
    """
    return {key: _value(r, key) for key in sorted(r.scan_iter(f"{prefix}:*", count=1000))}


def _value(r: redis.Redis, key: str) -> Any:
    match r.type(key):
        case "string":
            return r.get(key)
        case "list":
            return r.lrange(key, 0, -1)
        case "set":
            return set(r.smembers(key))
        case "zset":
            return dict(r.zrange(key, 0, -1, withscores=True))
        case "hash":
            return r.hgetall(key)
        case "stream":
            return [fields for _, fields in r.xrange(key)]
        case "none":
            return None
    raise AssertionError(f"{key}: a type nobody reads")


def changed(before: Tables, after: Tables) -> Tables:
    """Return {key: new value} of what differs; None for a key that is gone; of a stream only the new events."""
    result: Tables = {}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new:
            result[key] = new[len(old or []) :] if key.endswith(":events") and new is not None else new
    return result


def events(r: redis.Redis, keys: Keys) -> list[str]:
    """Return the queue's events as texts: "active 1 prev=waiting"."""
    return [_event_text(fields) for _, fields in r.xrange(keys.events)]


def _event_text(fields: dict[str, str]) -> str:
    rest = [f"{name}={value}" for name, value in fields.items() if name not in ("event", "jobId")]
    return " ".join([fields["event"], *([fields["jobId"]] if "jobId" in fields else []), *rest])


def states_of(r: redis.Redis, keys: Keys) -> dict[str, list[str]]:
    """Return {job id: names of the containers it is in, once per occurrence}."""
    found: dict[str, list[str]] = {}
    for name in ("wait", "active", "paused"):
        for job_id in r.lrange(keys.base + name, 0, -1):
            found.setdefault(job_id, []).append(name)
    for name in ("prioritized", "delayed", "completed", "failed", "waiting-children"):
        for job_id in r.zrange(keys.base + name, 0, -1):
            found.setdefault(job_id, []).append(name)
    return found


def assert_one_state_each(r: redis.Redis, prefix: str, queue: str) -> None:
    """Fail unless every job hash is in exactly one container, every id there has a hash, and every lock is active."""
    keys = Keys(prefix, queue)
    found = states_of(r, keys)
    assert {job_id: names for job_id, names in found.items() if len(names) != 1} == {}
    hashes = {key.removeprefix(keys.base) for key in r.scan_iter(f"{keys.base}*", _type="hash", count=1000)}
    own = {"meta"} | {f"repeat:{scheduler}" for scheduler in r.zrange(keys.repeat, 0, -1)}
    own |= {name for name in hashes if name.startswith(("de:", "dn:", "metrics:", "jobd-", "jobd:"))}
    jobs = {name for name in hashes - own if not name.endswith((":processed", ":failed"))}
    assert jobs == set(found), {job_id: r.hgetall(keys.job(job_id)) for job_id in jobs ^ set(found)}
    locked = {key.removeprefix(keys.base).removesuffix(":lock") for key in r.scan_iter(f"{keys.base}*:lock")}
    assert {job_id for job_id in locked if found.get(job_id) != ["active"]} == set()
