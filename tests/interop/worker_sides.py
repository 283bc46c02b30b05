"""One scenario of with_workers acted out twice: with workers of BullMQ's and with ours. What clients do is BullMQ's."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import redis

from jobd.engine.job import Keep
from jobd.engine.keys import Keys
from jobd.engine.outcome_policy import keep_from_opts
from jobd.protocol import worker as messages
from jobd.protocol.worker import Numbers, RedisTarget
from tests.interop.with_workers import Step
from tests.support.waiting import wait_until
from tests.support.worker_parent import WorkerParent, WorkerProcess, numbers


class NodeSide:
    """BullMQ does it all."""

    def __init__(self, node: subprocess.Popen[str], r: redis.Redis, prefix: str) -> None:
        self.node = node
        self.r = r
        self.prefix = prefix

    def play(self, steps: list[Step]) -> None:
        asked: list[Step] = []
        for step in steps:
            waits = getattr(self, f"_{step[0]}", None)
            if waits is None:
                asked.append(step)
                continue
            if asked:
                self.ask(asked)
                asked = []
            waits(*step[1:])
        if asked:
            self.ask(asked)

    def ask(self, steps: list[Step], *, keep: bool = True) -> None:
        """Let BullMQ do steps; what it raises fails the test."""
        assert self.node.stdin is not None
        assert self.node.stdout is not None
        print(json.dumps({"prefix": self.prefix, "steps": steps, "keep": keep}), file=self.node.stdin, flush=True)
        answer = json.loads(self.node.stdout.readline())
        assert answer["error"] is None, answer["error"]

    def close(self) -> None:
        self.ask([], keep=False)

    # --- steps that only look ---

    def _idle(self, *queues: str) -> None:
        def left() -> bool:
            with self.r.pipeline() as pipe:
                for keys in (Keys(self.prefix, queue) for queue in queues):
                    pipe.llen(keys.wait).llen(keys.active).zcard(keys.prioritized).zcard(keys.delayed)
                return not any(pipe.execute())

        wait_until(left, 8, what="nothing is left to do", every=0.003)

    def _state(self, queue: str, state: str, count: int) -> None:
        key = f"{self.prefix}:{queue}:{state}"
        size = self.r.llen if state in ("wait", "active") else self.r.zcard
        wait_until(lambda: size(key) == count, 8, what=f"{count} {state}", every=0.003)

    def _due(self, queue: str) -> None:
        """Nothing is promoted yet, but all of it would be by the next take."""
        [(_, last)] = self.r.zrange(Keys(self.prefix, queue).delayed, -1, -1, withscores=True)
        wait_until(lambda: time.time() * 1000 > last / 4096 + 2, 8, what="all is due", every=0.003)

    def _open(self, gate: str) -> None:
        self.r.set(f"gates:{self.prefix}:{gate}", 1)

    def _noted(self, name: str) -> None:
        wait_until(lambda: self.r.exists(f"notes:{self.prefix}:{name}"), 8, what=f"{name} is noted", every=0.003)


class JobdSide(NodeSide):
    """The same with workers of jobd."""

    def __init__(self, node: subprocess.Popen[str], r: redis.Redis, prefix: str, parent: WorkerParent) -> None:
        super().__init__(node, r, prefix)
        self.parent = parent
        self.workers: dict[str, WorkerProcess] = {}

    def close(self) -> None:
        for queue in list(self.workers):
            self._stop(queue)
        super().close()

    def _work(self, queue: str, settings: dict[str, Any] | None = None) -> None:
        at = RedisTarget(self.parent.redis.url, self.prefix)
        self.workers[queue] = self.parent.start(queue, _numbers(dict(settings or {})), redis=at)

    def _stop(self, queue: str) -> None:
        worker = self.workers.pop(queue)
        worker.send(messages.Drain())
        worker.wait_gone()
        worker.close()
        self.parent.workers.remove(worker)


def _numbers(settings: dict[str, Any]) -> Numbers:
    """BullMQ's settings of a worker as ours."""
    limiter = settings.pop("limiter", None)
    more = {"limiter_max": limiter["max"], "limiter_duration_ms": limiter["duration"]} if limiter else {}
    more["keep_completed"] = keep_from_opts(settings.pop("removeOnComplete", None)) or Keep()
    more["keep_failed"] = keep_from_opts(settings.pop("removeOnFail", None)) or Keep()
    found = numbers("program:program", concurrency=settings.pop("concurrency", 1), **more)
    assert not settings, f"unknown settings of a worker: {settings}"
    return found
