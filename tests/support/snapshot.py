"""Everything of one queue, named as docs/wire-format.md names it."""

from __future__ import annotations

import redis

from tests.support.tables import Tables, tables


def snapshot(r: redis.Redis, base: str) -> Tables:
    """Return tables() of one queue, keys without their common start (`base` ends in a colon)."""
    return {key.removeprefix(base): value for key, value in tables(r, base.removesuffix(":")).items()}
