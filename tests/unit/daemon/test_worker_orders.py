"""What is made of a worker's stacks, and what is said of a worker whose replacement did not get ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.worker_orders import WorkerOrders, part_of
from jobd.errors import Refused
from tests.unit.daemon.processes.pool_world import World, ready_world

STACKS = (
    'thread MainThread\n  File "jobd/life.py", line 1, in run\n\n'
    'thread slot-0 runs job 7 (x)\n  File "shop.py", line 3, in send\n    thread = None\n\n'
    'thread slot-1 runs job 77 (x)\n  File "shop.py", line 9, in other\n'
)


def test_the_part_of_a_job_is_what_its_thread_or_task_says():
    assert part_of(STACKS, "7").splitlines()[:2] == [
        "thread slot-0 runs job 7 (x)",
        '  File "shop.py", line 3, in send',
    ]
    assert "line 9" not in part_of(STACKS, "7")


def test_everything_is_told_when_nothing_is_marked_as_the_jobs():
    assert part_of(STACKS, "8") == STACKS


def _start_fails(world: World) -> None:
    world.fail_start(world.alive[-1])


def _place_is_scaled_away(world: World) -> None:
    world.pool.scaled_to = 0
    world.pool.fill()
    world.obey()


@pytest.mark.parametrize(
    ("meanwhile", "told"), [(_start_fails, "serves on"), (_place_is_scaled_away, "is not wanted any more either")]
)
def test_a_restart_that_fails_says_what_becomes_of_the_old_worker(
    meanwhile: Callable[[World], None], told: str
) -> None:
    world = ready_world(workers=1)
    (old,) = world.alive

    async def changed(limit_s: float) -> None:
        meanwhile(world)

    fleet: Any = SimpleNamespace(
        workers=lambda: [(world.pool, worker) for worker in world.pool.workers()], changed=changed,
        config=SimpleNamespace(daemon=SimpleNamespace(grace_ms=1000)),
    )  # fmt: skip
    with pytest.raises(Refused, match=f"the replacement did not get ready.*; worker 7 of q {told}"):
        asyncio.run(WorkerOrders(fleet).restart(old.pid, "ann"))
