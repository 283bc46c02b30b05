"""A limit per key over several daemons: kept under kills, beside Node, with what else a job can have."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from tests.support.daemon_process import alive
from tests.support.node import start_node
from tests.support.waiting import wait_until

LIMIT = 2
TABLE = (
    '[queues.a]\nhandler = "daemon_handlers:slow"\nconcurrency = 4\nworkers = 2\nlock_duration = "1s"\n'
    'stalled_interval = "500ms"\nmax_crashes = 1000\nbreaker = false\n'
    f'per_key = {{ key = "tenant.id", concurrency = {LIMIT} }}\n'
)

# In one look: what is active by key, and what the books say of those that are.
LOOK = """
local base, active, counted = KEYS[1], {}, {}
for _, id in ipairs(redis.call('LRANGE', base .. 'active', 0, -1)) do
  local key = redis.call('HGET', base .. id, 'jobdkey')
  if key then active[#active + 1] = {id, key} end
end
local books = redis.call('HGETALL', base .. 'jobd-keys')
return cjson.encode({active, books})
"""


class Look:
    """What runs, by key, as Redis has it in one moment."""

    def __init__(self, r: redis.Redis, base: str) -> None:
        active, books = json.loads(str(r.eval(LOOK, 1, base)))
        self.active: dict[str, set[str]] = {}
        for job_id, key in active or ():
            self.active.setdefault(key, set()).add(job_id)
        books = books or []  # an empty table of Lua comes as {}
        pairs = zip(books[::2], books[1::2], strict=True)
        self.counted = {key: set(text.split("\n")[1:-1]) for key, text in pairs}

    def wrong(self) -> dict[str, set[str]]:
        """Return where the books do not say of a key exactly what is active: {key: ids that are in one of the two}."""
        keys = self.active.keys() | self.counted.keys()
        differ = {key: self.active.get(key, set()) ^ self.counted.get(key, set()) for key in keys}
        return {key: ids for key, ids in differ.items() if ids}


def test_no_kill_lets_more_of_a_key_run_or_costs_a_place(make, jobs, r: redis.Redis, prefix: str) -> None:
    chance = random.Random(11)
    daemons = [make(TABLE), make(TABLE)]
    base, a = f"{prefix}:a:", jobs("a")
    ids: list[str] = []
    most: dict[str, int] = {}

    def look() -> Look:
        found = Look(r, base)
        for key, running in found.active.items():
            most[key] = max(most.get(key, 0), len(running))
        return found

    for _ in range(6):
        # Enough to be busy with until the fault is over.
        ids += [a.add({"s": 0.1, "tenant": {"id": number % 3}}, attempts=3) for number in range(60)]
        before = r.zcard(base + "completed")
        wait_until(lambda least=before + 5: look() and r.zcard(base + "completed") >= least, 20)
        daemon = chance.choice(daemons)
        victim = chance.choice(["worker", "worker", "daemon"])
        if victim == "daemon":
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.process.wait()
            daemon.start_ready()
        else:
            pids = daemon.worker_pids("a")
            if pids:
                os.kill(chance.choice(pids), signal.SIGKILL)
        _wait_for_true_books(look)
    for job in ids:
        a.wait_state(job, "completed", 60)
        look()
    _wait_for_true_books(look)
    assert most.keys() == {"0", "1", "2"}
    assert max(most.values()) <= LIMIT
    assert not r.keys(base + "jobd-aside:*")


def _wait_for_true_books(look: Callable[[], Look]) -> None:
    seen: list[dict[str, set[str]]] = []

    def are_true() -> bool:
        seen[:] = [look().wrong()]
        return not seen[0]

    try:
        wait_until(are_true, 20)
    except AssertionError:
        raise AssertionError(f"the books are wrong: {seen}") from None


def test_jobs_of_a_key_run_in_order_one_at_a_time_and_the_others_lie_in_delayed(make, jobs, r, prefix, tmp_path):
    make('[queues.a]\nhandler = "daemon_handlers:slow"\nconcurrency = 8\nper_key = { key = "t", concurrency = 1 }\n')
    a, mark, until = jobs("a"), tmp_path / "mark", tmp_path / "until"
    ids = [a.add({"t": "x", "mark": str(mark), "until": str(until)}) for _ in range(6)]
    free = a.add({"s": 0})
    a.wait_state(free, "completed")
    wait_until(lambda: r.zcard(f"{prefix}:a:delayed") == 5)
    assert [a.hash(job)["delay"] for job in ids[1:]] == ["60000"] * 5
    until.touch()
    for job in ids:
        a.wait_state(job, "completed")
    noted = [line.split()[:2] for line in mark.read_text().splitlines()]
    assert noted == [[what, job] for job in ids for what in ("start", "end")]


def test_retries_priorities_and_delays_keep_the_limit_and_all_end(make, jobs, r, prefix):
    make(
        '[queues.a]\nconcurrency = 8\nbackoff = "10ms"\nper_key = { key = "t", concurrency = 1 }\n'
        '[queues.a.jobs]\nflaky = "daemon_handlers:flaky"\nslow = "daemon_handlers:slow"\n'
    )
    a, base = jobs("a"), f"{prefix}:a:"
    ids = []
    for number in range(24):
        more: dict[str, Any] = {"priority": number % 3} if number % 3 else {}
        if number % 4 == 0:
            more["delay"] = "50ms"
        name = "flaky" if number % 5 == 0 else "slow"
        ids.append(a.add({"t": number % 2, "s": 0.01}, name=name, attempts=3, **more))
    most: dict[str, int] = {}

    def all_over() -> bool:
        for key, running in Look(r, base).active.items():
            most[key] = max(most.get(key, 0), len(running))
        return bool(r.zcard(base + "completed") == len(ids))

    wait_until(all_over, 30)
    assert set(most.values()) == {1}


NODE_WORKER = """
const { Worker } = require("bullmq");
const [port, prefix, queue] = process.argv.slice(2);
const worker = new Worker(queue, async () => { await new Promise((r) => setTimeout(r, 20)); return "node"; },
  { connection: { host: "127.0.0.1", port: Number(port) }, prefix, concurrency: 4 });
worker.waitUntilReady().then(() => console.log("ready"));
process.stdin.on("end", async () => { await worker.close(true); process.exit(0); });
process.stdin.resume();
"""


def test_a_node_worker_beside_it_ignores_the_limit_and_nothing_is_lost_or_stuck(
    make, jobs, r, prefix, redis_server, tmp_path: Path
):
    make('[queues.a]\nhandler = "daemon_handlers:slow"\nconcurrency = 4\nper_key = { key = "t", concurrency = 1 }\n')
    script = tmp_path / "worker.cjs"
    script.write_text(NODE_WORKER)
    node = start_node(script, str(redis_server.port), prefix, "a")
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == "ready\n"
        a, base = jobs("a"), f"{prefix}:a:"
        ids = [a.add({"t": number % 2, "s": 0.02}) for number in range(80)]
        for job in ids:
            a.wait_state(job, "completed", 30)
        results = {a.hash(job)["returnvalue"] for job in ids}
        assert results == {'"node"', '"slow"'}
        assert r.zcard(base + "completed") == len(ids)
        assert Look(r, base).active == {}
    finally:
        node.communicate("", timeout=20)
        assert not alive(node.pid)
