"""Hosts of one app, their files and their schedules in a real Redis; the clocks are the test's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from jobd.client import Queue
from jobd.config.load import load
from jobd.daemon.counters import Counters
from jobd.daemon.duties.schedules import Schedules
from jobd.daemon.file_schedules import Loaded
from jobd.engine.connect import async_client
from jobd.engine.keys import Keys
from jobd.engine.own_schedules import DOUBT_MS, LISTED_MS
from jobd.engine.runner import AsyncRunner
from jobd.engine.schedulers import Scheduler
from jobd.locate import RedisSource
from tests.support.operations import perform
from tests.support.redis_server import RedisServer

NOW = 1_795_486_443_666
HEAD = '[redis]\nurl = "redis://127.0.0.1:6379/0"\n[queues]\nreports = "a:b"\nmail = "a:b"\n'
SILENT_S = (LISTED_MS + DOUBT_MS) / 1000
HOUR_MS = 3_600_000
TICK = '[schedules.tick]\nqueue = "reports"\nevery = "{}"\n'


class World:
    """The Redis, the hosts on it and their clock. Redis' own clock is real: what it has stamped is moved instead."""

    def __init__(self, server: RedisServer, prefix: str, folder: Path, r: redis.Redis) -> None:
        self.url, self.prefix, self.folder, self.r = server.url, prefix, folder, r
        self.now = NOW
        self.username: str | None = None
        self.is_timeless = False
        self.queue = Queue("reports", url=server.url, prefix=prefix)

    def host(self, name: str, text: str) -> Host:
        return Host(self, self.folder / name, text)

    def schedules(self) -> dict[str, Scheduler]:
        return {found.id: found for found in self.queue.schedules()}

    def run(self, *hosts: Host, seconds: float = 0.0) -> None:
        """Let time pass with these hosts alive."""
        end = self.now + round(seconds * 1000)
        while True:
            for host in hosts:
                host.tick()
            if self.now >= end:
                return
            step_ms = min(end - self.now, 5000)
            self.now += step_ms
            if not self.is_timeless:
                self.step_redis(step_ms)

    @property
    def notes(self) -> str:
        return Keys(self.prefix, "reports").schedules

    def step_redis(self, step_ms: int) -> None:
        """Redis' clock goes on by this: what ends at a moment of it ends that much sooner."""
        for field, text in self.r.hscan_iter(self.notes, "l:*"):
            mark = json.loads(text)
            self.r.hset(self.notes, field, json.dumps({**mark, "until": mark["until"] - step_ms}))

    def operation(self, name: str, /, **params: Any) -> Any:
        return perform(self.url, self.prefix, name, **params)


class Host:
    """A daemon's duty, its file and its state folder."""

    def __init__(self, world: World, folder: Path, text: str) -> None:
        folder.mkdir(exist_ok=True)
        self.world, self.folder, self.path = world, folder, folder / "jobd.toml"
        self.off_ms = 0
        self.load(text)
        self.restart()

    def load(self, text: str) -> None:
        self.path.write_text(HEAD + text)

    def restart(self) -> None:
        """A new process on the same folder reads the file as it is."""
        self.loaded = Loaded(self.folder)
        self._troubles: list[str] = []

    def tick(self) -> list[tuple[str, str]]:
        return self._with_duty(lambda duty: duty.apply())

    def problems(self) -> list[str]:
        found = self._with_duty(lambda duty: duty.problems(load(self.path, env={})))
        return [str(problem) for problem in found]

    def troubles(self) -> list[str]:
        self.tick()
        return self._troubles

    def _with_duty(self, act: Callable[[Schedules], Any]) -> Any:
        async def main() -> Any:
            async with async_client(RedisSource(self.world.url, username=self.world.username)) as client:
                clock = SimpleNamespace(now_ms=lambda: self.world.now + self.off_ms)
                fleet: Any = SimpleNamespace(source=SimpleNamespace(prefix=self.world.prefix), clock=clock)
                config: Any = SimpleNamespace(config=load(self.path, env={}))
                duty = Schedules(
                    config,
                    fleet,
                    AsyncRunner(client),
                    self.loaded,
                    lambda name, trouble: None,
                    counters=Counters(),
                )
                done = await act(duty)
                self._troubles = duty.troubles()
                return done

        return asyncio.run(main())


@pytest.fixture
def world(redis_server: RedisServer, prefix: str, tmp_path: Path, r: redis.Redis) -> Iterator[World]:
    made = World(redis_server, prefix, tmp_path, r)
    yield made
    made.queue.close()


def test_the_file_is_set_once_and_an_interval_fires_at_once(world: World) -> None:
    host = world.host("a", TICK.format("5m") + '[schedules.n]\nqueue = "mail"\ncron = "15 3 * * *"\npriority = 3\n')
    assert host.tick() == [("tick", "set"), ("n", "set")]
    assert world.schedules()["tick"].next_at == NOW
    assert world.queue.counts()["waiting"] == 1
    assert world.r.zcard(f"{world.prefix}:mail:delayed") == 1
    before = list(world.r.xrange(f"{world.prefix}:reports:events"))
    assert host.tick() == []
    host.restart()
    world.now += 3_600_000
    assert host.tick() == []
    assert list(world.r.xrange(f"{world.prefix}:reports:events")) == before


def test_a_change_is_set_by_whoever_loads_it_and_an_unchanged_host_leaves_it(world: World) -> None:
    a, b = world.host("a", TICK.format("5m")), world.host("b", TICK.format("5m"))
    world.run(a, b)
    b.load(TICK.format("10m"))
    assert b.tick() == [("tick", "set")]
    assert a.tick() == []
    a.restart()
    assert a.tick() == []
    assert world.schedules()["tick"].repeat.every_ms == 600_000
    a.load(TICK.format("10m"))
    assert a.tick() == []
    a.load(TICK.format("7m"))
    assert a.tick() == [("tick", "set")]
    assert b.tick() == []
    assert world.schedules()["tick"].repeat.every_ms == 420_000


def test_a_removed_schedule_goes_when_no_living_host_lists_it(world: World) -> None:
    a, b = world.host("a", TICK.format("5m")), world.host("b", TICK.format("5m"))
    world.run(a, b, seconds=20)
    b.load("")
    world.run(a, b, seconds=120)
    assert "tick" in world.schedules()
    world.run(b, seconds=SILENT_S - 5)
    assert "tick" in world.schedules()
    world.run(b, seconds=15)
    assert world.schedules() == {}
    assert world.r.hgetall(f"{world.prefix}:reports:jobd:schedules").keys() == {"x:tick"}


@pytest.mark.parametrize("off_ms", [HOUR_MS, -HOUR_MS], ids=["ahead", "behind"])
def test_a_host_whose_clock_is_wrong_removes_nothing_that_another_file_has(world: World, off_ms: int) -> None:
    right, wrong = (
        world.host("right", TICK.format("10m")),
        world.host("wrong", TICK.format("10m").replace("tick", "tock")),
    )
    wrong.off_ms = off_ms
    world.run(right, wrong, seconds=60)
    assert set(world.schedules()) == {"tick", "tock"}
    world.run(right, seconds=SILENT_S - 5)
    assert set(world.schedules()) == {"tick", "tock"}
    world.run(right, seconds=15)
    assert set(world.schedules()) == {"tick"}


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS], ids=["forward", "back"])
def test_a_step_of_redis_clock_removes_no_schedule_of_a_living_host_and_keeps_none_of_a_dead_one(
    world: World, step_ms: int
) -> None:
    """Forward is also what an outage of Redis looks like to whoever is back first."""
    a, b = world.host("a", TICK.format("5m")), world.host("b", "")
    world.run(a, b, seconds=20)
    world.step_redis(step_ms)
    b.tick()
    world.run(b, a, seconds=60)
    assert "tick" in world.schedules()
    world.step_redis(step_ms)
    world.run(b, seconds=SILENT_S + 10)
    assert world.schedules() == {}


def test_a_redis_that_refuses_its_time_leaves_the_hosts_their_clocks(world: World) -> None:
    a, b = world.host("a", TICK.format("5m")), world.host("b", "")
    user = f"timeless-{world.prefix}"
    world.r.acl_setuser(user, enabled=True, nopass=True, categories=["+@all"], commands=["-time"], keys=["*"])
    try:
        world.username, world.is_timeless = user, True
        world.run(a, b, seconds=60)
        assert "tick" in world.schedules()
        world.run(b, seconds=SILENT_S + 10)
        assert world.schedules() == {}
    finally:
        world.r.acl_deluser(user)


def test_what_an_older_jobd_on_a_wrong_clock_lists_stays_while_it_says_so(world: World) -> None:
    a, b = world.host("a", TICK.format("5m")), world.host("b", "")
    a.tick()
    for off_ms in (-HOUR_MS, HOUR_MS):
        for _ in range(10):
            ends_ms = round(time.time() * 1000) + off_ms + 30_000
            mark = {"app": "jobd", "until": ends_ms, "ids": ["tick"]}
            world.r.hset(world.notes, f"l:{a.loaded.daemon}", json.dumps(mark))
            world.run(b, seconds=5)
            assert "tick" in world.schedules()
    world.run(b, seconds=SILENT_S)
    assert world.schedules() == {}


def test_a_removed_schedule_goes_at_once_when_its_only_host_reloads_or_restarts(world: World) -> None:
    host = world.host("a", TICK.format("5m"))
    host.tick()
    host.load("")
    host.restart()
    assert host.tick() == [("tick", "removed")]
    assert world.schedules() == {}
    host.load(TICK.format("5m"))
    assert host.tick() == [("tick", "set")]


def test_a_host_that_comes_back_with_the_old_file_does_not_bring_a_removed_schedule_back(world: World) -> None:
    a, b = world.host("a", TICK.format("5m")), world.host("b", TICK.format("5m"))
    world.run(a, b)
    b.load("")
    world.run(b, seconds=60)
    assert world.schedules() == {}
    a.restart()
    assert a.tick() == []
    assert world.schedules() == {}
    a.load(TICK.format("6m"))
    assert a.tick() == [("tick", "set")]


def test_what_was_lost_is_set_again(world: World) -> None:
    host = world.host("a", TICK.format("5m"))
    host.tick()
    for key in world.r.scan_iter(f"{world.prefix}:*"):
        world.r.delete(key)
    assert host.tick() == [("tick", "set")]
    keys = Keys(world.prefix, "reports")
    (current,) = world.r.lrange(keys.wait, 0, -1)
    world.r.lrem(keys.wait, 1, current)
    world.r.delete(keys.job(current))
    world.now += 30_000
    assert host.tick() == []
    world.now += 61_000
    assert host.tick() == [("tick", "set")]
    assert world.schedules()["tick"].next_at == NOW + 300_000


def test_the_last_run_of_a_limit_is_no_loss(world: World) -> None:
    host = world.host("a", TICK.format("5m") + "limit = 1\n")
    host.tick()
    keys = Keys(world.prefix, "reports")
    world.r.delete(keys.wait, *(keys.job(one) for one in world.r.lrange(keys.wait, 0, -1)))
    world.now += 600_000
    assert host.tick() == []


def test_schedules_of_others_are_never_touched(world: World) -> None:
    world.queue.schedule("tick", every="1h")
    made = world.schedules()
    host = world.host("a", TICK.format("5m"))
    assert host.tick() == []
    assert world.schedules() == made
    (told,) = host.troubles()
    assert "others (Node, or a client) made; give this one another name" in told
    (problem,) = host.problems()
    assert "jobd.toml:6:12" in problem
    other = world.host("b", '[app]\nname = "other"\n' + TICK.format("5m").replace("tick", "tock"))
    assert other.tick() == [("tock", "set")]
    host.load(TICK.format("5m").replace("tick", "tock"))
    assert 'the app "other" made' in host.problems()[0]


def test_one_that_somebody_else_has_changed_is_theirs(world: World) -> None:
    host = world.host("a", TICK.format("5m"))
    host.tick()
    world.queue.schedule("tick", every="2h")
    host.load("")
    assert host.tick() == []
    assert world.schedules()["tick"].repeat.every_ms == 7_200_000
    host.load(TICK.format("6m"))
    assert len(host.troubles()) == 1


def test_a_wanted_file_that_is_refused_lists_nothing(world: World) -> None:
    a, b = world.host("a", TICK.format("5m")), world.host("b", "")
    world.run(a, b)
    a.load("")
    a.problems()
    assert b.tick() == []
    assert "tick" in world.schedules()


def test_a_paused_schedule_stays_paused_through_restarts_and_changes(world: World) -> None:
    host = world.host("a", TICK.format("5m"))
    host.tick()
    assert world.operation("schedule.pause", name="tick")["schedule"]["state"] == "paused"
    assert world.r.zcard(f"{world.prefix}:reports:repeat") == 0
    host.restart()
    assert host.tick() == []
    host.load(TICK.format("10m"))
    assert host.tick() == [("tick", "set, still paused")]
    (row,) = world.operation("schedule.list")["schedules"]
    assert (row["state"], row["every_ms"], row["next_at"], row["paused_by"]) == ("paused", 600_000, None, "alice")
    assert world.operation("schedule.resume", name="tick")["schedule"]["state"] == "running"
    assert host.tick() == []
    assert host.troubles() == []
    assert world.schedules()["tick"].repeat.every_ms == 600_000
    world.operation("schedule.pause", name="tick")
    host.load("")
    assert host.tick() == [("tick", "removed")]
    assert world.operation("schedule.list")["schedules"] == []


def test_a_queue_whose_keys_are_spoiled_costs_the_others_no_schedule(world: World) -> None:
    host = world.host("a", '[schedules.m]\nqueue = "mail"\nevery = "5m"\n' + TICK.format("5m"))
    spoiled = f"{world.prefix}:mail:repeat"
    world.r.set(spoiled, "x")
    assert host.tick() == [("tick", "set"), ("schedules", "set later: Redis refused")]
    assert set(world.schedules()) == {"tick"}
    world.r.delete(spoiled)
    assert host.tick() == [("m", "set")]
