"""Random rows of adds, flows, schedules, runs, retries, pauses and removals leave the same, whoever does them."""

from __future__ import annotations

import random
import subprocess
from typing import Any

import pytest
import redis

from tests.interop.our_steps import Side
from tests.interop.scenarios import FLAGS, NIGHTLY, Step, job
from tests.interop.test_scenarios import comparable, node, theirs

__all__ = ["node"]

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat("random rows of adds, flows, schedules, retries, pauses and removals", "compared"),
]

QUEUES = ("c", "p", "g")
IDS = ("A", "B", "C", "D", "E")
NAMES = ("ok", "ok", "nothing", "fail", "flaky", "fatal", "reads")
KINDS = ("flow", "flow", "flow", "add", "add", "run", "run", "remove", "pause", "resume", "retry_if", "retry_if")
SCHEDULING = ("schedule", "unschedule")
SCHEDULES = ("s", "t")
ONCE = {"every": 60_000, "limit": 1}


class Row:
    """A row of steps drawn from one seed; every id has a queue of its own, so that a name finds it again."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.steps: list[Step] = []
        self._far: set[tuple[str, str]] = set()
        for _ in range(self._random.randint(4, 12)):
            step = self._step()
            if step[0] == "run":
                self._end_schedules()
            self.steps.append(step)
        self._end_schedules()
        self.steps += [["resume", queue] for queue in QUEUES] + [["run", *QUEUES]]

    def _step(self) -> Step:
        draw = self._random
        kind = draw.choice((*KINDS, *SCHEDULING))
        if kind == "flow":
            return ["flow", self._tree(draw.sample(IDS, draw.randint(2, 4)), 0)]
        if kind == "add":
            job_id = draw.choice(IDS)
            opts = {"jobId": job_id, **self._options()}
            if draw.random() < 0.3:
                parent = draw.choice([other for other in IDS if other != job_id])
                opts["parent"] = {"id": parent, "queue": self._queue(parent)}
            return ["add", self._queue(job_id), draw.choice(NAMES), {"id": job_id}, opts]
        if kind == "retry_if":
            # By hand; of one that is in another state, or nowhere, nothing comes.
            job_id = draw.choice(IDS)
            return [kind, self._queue(job_id), job_id, draw.choice(("failed", "failed", "completed"))]
        if kind == "schedule":
            return self._schedule(draw.choice(QUEUES), draw.choice(SCHEDULES))
        if kind == "unschedule":
            return ["unschedule", draw.choice(QUEUES), draw.choice(SCHEDULES)]
        if kind == "remove":
            job_id = draw.choice(IDS)
            # Children of one job leave a set in any order: only a job without any, or without them, tells alike.
            return ["remove", self._queue(job_id), job_id, False]
        return [kind, *([draw.choice(QUEUES)] if kind != "run" else QUEUES)]

    def _schedule(self, queue: str, sid: str) -> Step:
        draw, repeat = self._random, self._random.choice((ONCE, ONCE, NIGHTLY))
        if repeat is NIGHTLY:
            self._far.add((queue, sid))
        else:
            self._far.discard((queue, sid))
        return ["schedule", queue, sid, repeat, {"name": draw.choice(NAMES), "data": {}, "opts": self._options()}]

    def _end_schedules(self) -> None:
        """A run goes on until nothing is due any more, and would wait for the night."""
        self.steps += [["unschedule", *which] for which in sorted(self._far)]
        self._far.clear()

    def _tree(self, ids: list[str], depth: int) -> dict[str, Any]:
        draw, (own, *rest) = self._random, ids
        children = []
        while rest:
            cut = len(rest) if depth else draw.randint(1, len(rest))
            children.append(self._tree(rest[:cut], depth + 1))
            rest = rest[cut:]
        opts = self._options()
        if depth and draw.random() < 0.7:
            opts[draw.choice(FLAGS)] = True
        return job(draw.choice(NAMES), own, *children, queue=self._queue(own), **opts)

    def _options(self) -> dict[str, Any]:
        draw, opts = self._random, {}
        if draw.random() < 0.3:
            opts["priority"] = draw.randint(1, 3)
        if draw.random() < 0.3:
            opts["attempts"] = 2
        if draw.random() < 0.15:
            opts["removeOnFail"] = True
        if draw.random() < 0.15:
            opts["removeOnComplete"] = True
        if draw.random() < 0.15:
            opts["lifo"] = True
        return opts

    @staticmethod
    def _queue(job_id: str) -> str:
        return QUEUES[IDS.index(job_id) % len(QUEUES)]


@pytest.mark.parametrize("seed", range(50))
def test_a_random_row_of_steps_leaves_the_same(
    node: subprocess.Popen[str], r: redis.Redis, prefix: str, seed: int
) -> None:
    steps = Row(seed).steps
    theirs(node, f"{prefix}n", steps)
    side = Side(r, f"{prefix}o")
    for step in steps:
        side.step(step)
    assert comparable(r, f"{prefix}o") == comparable(r, f"{prefix}n"), steps
    side.close()
