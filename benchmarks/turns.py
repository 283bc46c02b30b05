"""What a turn costs inside Redis, by kind of its jobs: no worker, the script alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import Figure
from benchmarks.sides import Bench
from jobd.client import Queue
from jobd.engine.job import KEEP_ALL, KEEP_NONE, Finish, Keep, Taken, TurnReply, TurnRequest
from jobd.engine.keys import Keys
from jobd.engine.runner import SyncRunner
from jobd.engine.states import Outcome
from jobd.engine.turn import turn

_KEYS = Keys("bull", "turns")
_TURNS = 2_000
_WINDOW = 10
"""Turns that are looked at together; the figure is that of the quiet windows, whoever else uses the machine."""


@dataclass(frozen=True)
class _Kind:
    """How the jobs of a turn end, and how many a turn has."""

    name: str
    batch: int = 1
    outcome: Outcome = Outcome.COMPLETED
    keep: Keep = KEEP_ALL
    priority: int = 0
    words: dict[str, Any] = field(default_factory=dict)

    def finish(self, job: Taken) -> Finish:
        made = job.attempts_made
        return Finish(job.id, job.token, self.outcome, b'"x"', keep=self.keep, made=made, attempts=1_000, **self.words)


_KINDS = (
    _Kind("plain, kept"),
    _Kind("plain, kept", 10),
    _Kind("plain, kept", 100),
    _Kind("plain, removed", 100, keep=KEEP_NONE),
    _Kind("prioritized", 100, priority=5),
    _Kind("retried at once", 1, Outcome.RETRY, words={"stacktrace": b'["x"]'}),
    _Kind("retried at once", 100, Outcome.RETRY, words={"stacktrace": b'["x"]'}),
    _Kind("failed", 100, Outcome.FAILED, words={"stacktrace": b'["x"]'}),
)


def turns(bench: Bench) -> Iterator[Figure]:
    """Turns that finish so many jobs and take as many, then those of a worker that has nothing more to do."""
    with bench.server.raw() as client:
        runner = SyncRunner(client)

        def run(finishes: list[Finish], take: int) -> TurnReply:
            request = TurnRequest(1_790_000_000_000, 30_000, "incarnation:1:", "bench 1", finishes, take)
            return runner.run(turn(_KEYS, request))

        for kind in _KINDS:
            count = bench.sized(_TURNS if kind.batch == 1 else 200)
            with Queue(_KEYS.queue, url=bench.server.tcp_url) as queue:
                queue.add_many(
                    [("noop", {"i": i}, {"priority": kind.priority}) for i in range((count + 1) * kind.batch)]
                )
            reply = run([], kind.batch)

            def one(kind: _Kind = kind) -> None:
                nonlocal reply
                reply = run([kind.finish(job) for job in reply.jobs], kind.batch)

            us, calls = _measured(bench, one, count)
            name = f"{kind.name}, {kind.batch} a turn"
            yield Figure(f"{name}: in Redis, a job", "us", us / kind.batch)
            yield Figure(f"{name}: commands a job", "", calls / kind.batch)
            bench.redis.flushall()
        us, calls = _measured(bench, lambda: run([], 10), bench.sized(_TURNS))
        yield Figure("a turn that finds nothing: in Redis", "us", us)
        yield Figure("a turn that finds nothing: commands", "", calls)
        bench.redis.flushall()


def _measured(bench: Bench, one: Callable[[], object], count: int) -> tuple[float, float]:
    """Return microseconds and commands of a turn, by Redis' own count."""
    costs, commands = [], 0.0
    for _ in range(count // _WINDOW):
        bench.redis.config_resetstat()
        for _ in range(_WINDOW):
            one()
        stats = bench.redis.info("commandstats")
        scripts = stats.pop("cmdstat_evalsha")
        costs.append(scripts["usec"] / scripts["calls"])
        ours = ("cmdstat_config|resetstat", "cmdstat_info")
        inside = [each["calls"] for name, each in stats.items() if name not in ours]
        commands = sum(inside) / scripts["calls"]
    return sorted(costs)[len(costs) // 5], commands
