"""A daemon that reloads, without a process: templates, fleet and links are fakes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from jobd.clock import SYSTEM_CLOCK
from jobd.config.load import load
from jobd.config.model import Config
from jobd.config.problems import Problem
from jobd.daemon.current_config import CurrentConfig
from jobd.daemon.processes.pool import Pool
from jobd.daemon.reload.context import ReloadContext
from jobd.daemon.reload.reloader import Reloader
from jobd.daemon.reload.states import ReloadState
from jobd.protocol.board import SlotState

HEAD = '[redis]\nurl = "redis://127.0.0.1:6379/0"\n'
ONE = '[queues.a]\nhandler = "m:f"\nworkers = 2\n'
CHANGED = '[queues.a]\nhandler = "m:f"\nworkers = 2\nenv = { A = "1" }\n'


class Link:
    """Says at once that its worker takes nothing more, or (`mute`) never."""

    def __init__(self, worker: Any, *, mute: bool) -> None:
        self.sent: list[str] = []
        self.killed = False
        self._worker, self._mute = worker, mute

    def send(self, message: Any) -> None:
        self.sent.append(type(message).__name__)
        if self.sent[-1] == "Drain" and not self._mute:
            asyncio.get_running_loop().call_soon(self._worker.quieted)

    def kill(self) -> None:
        self.killed = True


class Slot:
    state = SlotState.RUNNING
    job_id, name = "7", "x"


class Board:
    busy = jobs_done = 0

    def __init__(self) -> None:
        self.running = 0

    def slots(self, _limit: int) -> list[Any]:
        return [Slot()] * self.running


class Templates:
    """Imports at once, or when `gate` is set."""

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.made: list[Any] = []
        self.installed: list[Any] = []
        self.discarded: list[Any] = []
        self.changed: list[str] = []

    def has(self, _key: Any, _queues: Any) -> bool:
        return False

    async def make(self, _config: Any, _key: Any, _queues: Any) -> Any:
        loading = type("Loading", (), {"template": object(), "reports": []})()
        self.made.append(loading)
        if self.gate is not None:
            await self.gate.wait()
        return loading

    def install(self, loading: Any) -> None:
        self.installed.append(loading)

    async def discard(self, loading: Any) -> None:
        self.discarded.append(loading)

    def retire_others(self, _keys: Any) -> None:
        pass

    def changed_files(self) -> list[str]:
        return self.changed


class Fleet:
    """Has workers that get ready when the test says so, or at once with `prompt`."""

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}
        self.drained_pools: list[Pool] = []
        self.config: Any = None
        self.trials: list[Any] = []
        self.spawned: list[Any] = []
        self.prompt = True
        self.mute = False
        self.clock = SYSTEM_CLOCK
        self._changed = asyncio.Event()

    def new_pool(self, queue: Any, generation: int) -> Pool:
        return Pool(len(self.pools) + 1, queue, generation, self, SYSTEM_CLOCK)  # type: ignore[arg-type]

    def spawn_trial(self, _queue: Any, worker: Any, _template: Any) -> None:
        self.trials.append(worker)
        self._spawn(worker)

    def spawn(self, _pool: Pool, worker: Any) -> None:
        self.spawned.append(worker)
        self._spawn(worker)

    def _spawn(self, worker: Any) -> None:
        worker.spawned(len(self.spawned) + len(self.trials), Link(worker, mute=self.mute), Board())
        if self.prompt:
            asyncio.get_running_loop().call_soon(lambda: worker.ready(redis_up=True))

    def later(self, delay_s: float, call: Any) -> Any:
        return asyncio.get_running_loop().call_later(delay_s, call)

    def lost(self, pool: Pool, worker: Any) -> None:
        pass

    def notify(self) -> None:
        self._changed.set()

    async def changed(self, limit_s: float | None = None) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._changed.wait()


class World:
    """A daemon that runs ONE, ready; `write` changes the file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobd.toml"
        self.write(ONE)
        self.templates, self.fleet = Templates(), Fleet()
        self.current_config = CurrentConfig(load(self.path, env={}), SYSTEM_CLOCK, environ={})
        self.fleet.config = self.current_config.config
        self.renewed = 0
        self.taken = False
        self.said: list[str] = []
        self.reloader = Reloader(
            ReloadContext(
                self.current_config, self.fleet, self.templates, SYSTEM_CLOCK,  # type: ignore[arg-type]
                facts=dict, count_waiting=self._count, renew_connections=self._renew,
                schedules=self,
            )
        )  # fmt: skip

    async def apply(self) -> list[tuple[str, str]]:
        return [("nightly", "set")]

    async def problems(self, config: Config) -> list[Problem]:
        return [config.problem_at(("schedules", "nightly"), "taken")] if self.taken else []

    async def _count(self, _queue: str) -> int | None:
        return None

    def _renew(self) -> None:
        self.renewed += 1

    def write(self, text: str) -> None:
        self.path.write_text(HEAD + text)

    async def up(self) -> World:
        for queue in self.current_config.config.queues.values():
            self.fleet.pools[queue.name] = self.fleet.new_pool(queue, 1)
            self.fleet.pools[queue.name].fill()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self

    def begin(self, *, code: bool = False, who: str = "test") -> asyncio.Task[Any]:
        return asyncio.create_task(self.reloader.reload(self.said.append, code=code, who=who))

    async def begin_with_one_that_gets_ready(self) -> asyncio.Task[Any]:
        """Begin a reload whose trial worker gets ready and whose further ones do not."""
        task = self.begin()
        await self.until(ReloadState.TRIAL)
        while not self.fleet.trials:
            await asyncio.sleep(0)
        self.fleet.prompt = False
        return task

    async def until(self, state: ReloadState | None) -> None:
        async with asyncio.timeout(5):
            while self.reloader.state is not state:
                await asyncio.sleep(0)

    def workers(self) -> list[Any]:
        return list(self.fleet.pools["a"].workers())

    def old(self) -> list[Any]:
        return [worker for worker in self.workers() if worker.generation == 1]


def run(work: Any) -> None:
    asyncio.run(work)
