"""Each scenario acted out by BullMQ and by us leaves the same keys and the same events, in every queue."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.interop.maintenance import MAINTENANCE
from tests.interop.our_steps import Side
from tests.interop.scenarios import SCENARIOS as FLOWS
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.tables import tables

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat("flows: the four failure modes, deep trees, children added later, removal", "compared"),
]

SCENARIOS = {**FLOWS, **MAINTENANCE}
STEPS = Path(__file__).with_name("steps.cjs")
JSON_FIELDS = {"opts", "parent"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
ITERATION = re.compile(r"^(.+:repeat:.+):\d{12,}$")


@pytest.fixture(scope="module")
def node(redis_server: RedisServer) -> Iterator[subprocess.Popen[str]]:
    with start_node(STEPS, redis_server.tcp_url) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def theirs(node: subprocess.Popen[str], prefix: str, steps: list[Any]) -> None:
    assert node.stdin is not None
    assert node.stdout is not None
    print(json.dumps({"prefix": prefix, "steps": steps}), file=node.stdin, flush=True)
    answer = json.loads(node.stdout.readline())
    assert answer["error"] is None, answer["error"]


def comparable(r: redis.Redis, prefix: str) -> dict[str, Any]:
    """All keys but the markers and BullMQ's own settings, without moments, traces and generated ids."""
    found: dict[str, Any] = {}
    slots: dict[str, int] = {}
    for key, value in tables(r, prefix).items():
        name = key.removeprefix(f"{prefix}:")
        iteration = ITERATION.search(name)
        if iteration is not None:
            slots[iteration[1]] = slots.get(iteration[1], 0) + 1
            name = f"{iteration[1]}:{slots[iteration[1]]}"
        if name.endswith((":marker", ":stalled-check")):
            continue
        if name.endswith(":meta"):
            value = {field: text for field, text in value.items() if field in ("paused", "opts.maxLenEvents")}
        elif name.endswith(":events"):
            value = [[[field, still(text, prefix)] for field, text in entry.items()] for entry in value]
        elif name.endswith(":repeat"):
            value = set(value)  # moments, and as floats
        elif isinstance(value, dict):
            fields = without_rest(value)
            value = {still(field, prefix): still_field(field, item, prefix) for field, item in fields.items()}
        elif isinstance(value, list | set):
            value = type(value)(still(item, prefix) for item in value)
        found[name] = value
    return found


def still_field(name: str, value: Any, prefix: str) -> Any:
    if name in JSON_FIELDS:
        return still_json(json.loads(value), prefix)
    if name == "stacktrace":
        return len(json.loads(value))
    return still(str(value), prefix)


def still_json(value: Any, prefix: str) -> Any:
    """An iteration's options are JSON too; how long it was until it was due depends on the moment."""
    if isinstance(value, dict):
        passing = {"delay": bool(value["delay"])} if "repeatJobKey" in value else {}
        return {name: still_json(item, prefix) for name, item in {**value, **passing}.items()}
    return (
        "T" if isinstance(value, int) and value > 10**11 else still(value, prefix) if isinstance(value, str) else value
    )


def without_rest(fields: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's rhythm begins with its first run, and an iteration's delay is the rest until it is due."""
    if "ic" in fields and ("every" in fields or fields["offset"] != "0") and fields["offset"] != "1234":
        return {**fields, "offset": "some"}
    return {**fields, "delay": fields["delay"] != "0"} if "rjk" in fields else fields


def still(text: str, prefix: str) -> str:
    return UUID.sub("UUID", re.sub(r"\d{12,}(\.\d+)?", "T", text)).replace(prefix, "PREFIX")


@pytest.mark.parametrize("name", SCENARIOS)
def test_bullmq_and_we_leave_the_same(node: subprocess.Popen[str], r: redis.Redis, prefix: str, name: str) -> None:
    theirs(node, f"{prefix}n", SCENARIOS[name])
    side = Side(r, f"{prefix}o")
    for step in SCENARIOS[name]:
        side.step(step)
    assert comparable(r, f"{prefix}o") == comparable(r, f"{prefix}n")
    side.close()
