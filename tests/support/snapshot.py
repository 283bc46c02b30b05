"""Everything that lies under a key prefix, as plain values, to compare before and after a script."""

from __future__ import annotations

from typing import Any

import redis


def snapshot(r: redis.Redis, base: str) -> dict[str, Any]:
    """Return {key without base: value}; a stream as its fields in order, without ids."""
    found: dict[str, Any] = {}
    for key in sorted(r.scan_iter(f"{base}*", count=1000)):
        found[key.removeprefix(base)] = _value(r, key)
    return found


def _value(r: redis.Redis, key: str) -> Any:
    kind = r.type(key)
    if kind == "hash":
        return r.hgetall(key)
    if kind == "list":
        return r.lrange(key, 0, -1)
    if kind == "set":
        return set(r.smembers(key))
    if kind == "zset":
        return dict(r.zrange(key, 0, -1, withscores=True))
    if kind == "stream":
        return [fields for _, fields in r.xrange(key)]
    return r.get(key)
