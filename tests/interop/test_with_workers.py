"""The scenarios of with_workers leave the same keys and the same events, whoever's workers run the jobs."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.interop import with_workers
from tests.interop.test_scenarios import comparable, node
from tests.interop.worker_sides import JobdSide, NodeSide
from tests.support.redis_server import RedisServer
from tests.support.tables import assert_one_state_each
from tests.support.worker_parent import HANDLERS, ROOT, WorkerParent

__all__ = ["node"]

pytestmark = pytest.mark.node


def rows() -> Iterator[Any]:
    for module in pkgutil.iter_modules(with_workers.__path__):
        group = importlib.import_module(f"{with_workers.__name__}.{module.name}")
        for name, steps in group.ROWS.items():
            yield pytest.param(
                steps, id=f"{module.name}: {name}", marks=pytest.mark.compat(group.COMPAT, "compared, with workers")
            )


@pytest.fixture(scope="module")
def parent(redis_server: RedisServer) -> Iterator[WorkerParent]:
    with WorkerParent(redis_server.url, "unused", path=[str(HANDLERS), str(ROOT)]) as parent:
        loaded = parent.load("program:program", env={**os.environ, "PROGRAM_REDIS": redis_server.url})
        assert all(handler.ok for handler in loaded.handlers), loaded.handlers
        yield parent


@pytest.mark.parametrize("steps", list(rows()))
def test_workers_of_both_leave_the_same(
    node: subprocess.Popen[str], parent: WorkerParent, r: redis.Redis, prefix: str, steps: list[Any]
) -> None:
    seen = []
    for side in (NodeSide(node, r, f"{prefix}n"), JobdSide(node, r, f"{prefix}o", parent)):
        try:
            side.play(steps)
            seen.append(comparable(r, side.prefix))
        finally:
            side.close()
        for queue in {key.split(":")[1] for key in r.scan_iter(f"{side.prefix}:*:meta")}:
            assert_one_state_each(r, side.prefix, queue)
    for tables in seen:
        tables.pop("q:limiter", None)  # over after a while, by the server's clock
    found = differences(*seen)
    assert not found, "\n".join(found)


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What differs, one line each."""
    lines = []
    for key in sorted(theirs.keys() | ours.keys()):
        bull, jobd = _fields(theirs.get(key)), _fields(ours.get(key))
        lines += [
            f"{key} {name}: BullMQ {bull.get(name)!r}, jobd {jobd.get(name)!r}"
            for name in sorted(bull.keys() | jobd.keys())
            if bull.get(name) != jobd.get(name)
        ]
    return lines


def _fields(value: Any) -> dict[str, Any]:
    """A hash without the name of its worker, which has the host and the pid in it; events by number; else the value."""
    if isinstance(value, dict):
        return {name: item if name != "pb" else "a worker" for name, item in value.items()}
    if isinstance(value, list):
        return {f"{number:03}": item if isinstance(item, str) else _event(item) for number, item in enumerate(value)}
    return {} if value is None else {"": value}


def _event(fields: list[list[str]]) -> str:
    (_, event), *rest = fields
    return " ".join([event, *(f"{name}={value}" for name, value in rest)])
