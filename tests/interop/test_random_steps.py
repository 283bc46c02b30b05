"""Random rows of what clients can do, with runs between, leave the same, whoever does them: see random_rows.py."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import redis

from tests.interop.our_steps import Side
from tests.interop.random_rows import GROUPS, Row
from tests.interop.scenarios import Step
from tests.interop.test_scenarios import comparable, node, theirs
from tests.interop.test_with_workers import differences

__all__ = ["node"]

DONE = ", ".join([*GROUPS, "deduplication", "delays"])
pytestmark = [pytest.mark.node, pytest.mark.compat(f"random rows of {DONE}", "compared")]


@pytest.mark.parametrize("seed", range(150))
def test_a_random_row_of_steps_leaves_the_same(
    node: subprocess.Popen[str], r: redis.Redis, prefix: str, seed: int
) -> None:
    steps = Row(seed).steps
    theirs(node, f"{prefix}n", steps)
    side = Side(r, f"{prefix}o")
    for step in steps:
        side.step(step)
    found = differences(*(in_any_order(comparable(r, f"{prefix}{who}"), steps) for who in "no"))
    assert not found, "\n".join([*map(str, steps), *found])
    side.close()


def in_any_order(found: dict[str, Any], steps: list[Step]) -> dict[str, Any]:
    """The children of a job leave a set in any order, and so do the events of what is removed with its children."""
    if not any(step[0] == "remove" and step[3] for step in steps):
        return found
    return {name: sorted(value) if name.endswith(":events") else value for name, value in found.items()}
