"""What a daemon says it is doing, and the orders it passes on: its parts are made up, nothing runs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.supervisor import Supervisor
from jobd.daemon.views import DaemonState, ReloadReport, StopReport
from jobd.errors import NotThere, Refused
from tests.unit.daemon.processes.pool_world import World


class Parts:
    """Reloader, stopper and service manager in one: notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.has_begun = False
        self.interrupted = 0
        self.gate: asyncio.Event | None = None
        self.error: Refused | None = None

    async def reload(self, progress: Any, *, code: bool, who: str) -> ReloadReport:
        self.asked.append("reload")
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return ReloadReport(2, 0.1, [], 0, [])

    def stop_came(self) -> None:
        self.asked.append("reload ends")

    async def stop(self, grace_ms: int | None, now: bool, progress: Any) -> StopReport:
        self.asked.append("stop")
        self.has_begun = True
        return StopReport(0, [])

    def reloading(self) -> None:
        self.asked.append("RELOADING")

    def ready(self, status: str = "") -> None:
        self.asked.append("READY")


class Daemon:
    """A supervisor of one queue, mail, that has a ready worker or has not."""

    def __init__(self, *, imported: bool = True, ready: bool = True) -> None:
        self.world = World(workers=2)
        self.pool = self.world.pool
        pools = {self.pool.name: self.pool} if imported else {}
        self.degraded: list[str] = []
        self.parts = Parts()
        fleet: Any = SimpleNamespace(
            pools=pools,
            all_pools=lambda: iter(pools.values()),
            workers=lambda: iter(()),
            quieted_by=None,
            pools_by_queue=lambda: {name: [pool] for name, pool in pools.items()},
        )
        current_config: Any = SimpleNamespace(
            config=SimpleNamespace(place=lambda path: "jobd.toml:9"), generation=1, reloaded_at=None
        )
        self.supervisor = Supervisor(
            current_config, fleet, SimpleNamespace(is_loading=False), SimpleNamespace(id="inc"),  # type: ignore[arg-type]
            self.world.clock, announce=self.parts,
        )  # fmt: skip
        self.supervisor.health = SimpleNamespace(  # type: ignore[assignment]
            degraded_by=lambda now: self.degraded
        )
        self.supervisor.take_helpers(self.parts, self.parts)  # type: ignore[arg-type]
        if imported:
            self.supervisor._started.set()
            self.pool.fill()
            if ready:
                self.world.all_ready()

    def reload(self) -> ReloadReport:
        return asyncio.run(self.supervisor.reload(False, lambda text: None, "ann"))


@pytest.mark.parametrize(
    ("ready", "reloading", "degraded", "stopping", "state"),
    [
        (False, False, False, False, DaemonState.STARTING),
        (False, False, True, False, DaemonState.STARTING),
        (True, False, False, False, DaemonState.READY),
        (True, False, True, False, DaemonState.DEGRADED),
        (True, True, False, False, DaemonState.RELOADING),
        (True, True, True, False, DaemonState.RELOADING),
        (False, True, False, False, DaemonState.RELOADING),
        (False, False, False, True, DaemonState.DRAINING),
        (True, True, True, True, DaemonState.DRAINING),
    ],
)
def test_of_what_it_does_the_most_final_is_told(
    ready: bool, reloading: bool, degraded: bool, stopping: bool, state: DaemonState
) -> None:
    daemon = Daemon(ready=ready)
    daemon.degraded = ["mail: breaker"] if degraded else []
    daemon.parts.has_begun = stopping

    async def look() -> DaemonState:
        if not reloading:
            return daemon.supervisor.state
        daemon.parts.gate = asyncio.Event()
        reload = asyncio.ensure_future(daemon.supervisor.reload(False, lambda text: None, "ann"))
        await asyncio.sleep(0)
        seen = daemon.supervisor.state
        daemon.parts.gate.set()
        await reload
        return seen

    assert asyncio.run(look()) is state


def test_why_it_is_not_ready_names_what_is_waited_for() -> None:
    importing = Daemon(imported=False)
    assert importing.supervisor.ready() == (False, "starting: the handlers are being imported")
    daemon = Daemon(ready=False)
    assert daemon.supervisor.ready() == (False, f"starting: {daemon.pool.name}")
    daemon.world.all_ready()
    assert daemon.supervisor.ready() == (True, None)
    daemon.degraded = ["a: breaker", "b: no fetch for 20s"]
    assert daemon.supervisor.ready() == (False, "a: breaker; b: no fetch for 20s")
    daemon.parts.has_begun = True
    assert daemon.supervisor.ready() == (False, "the daemon is draining")


def test_once_ready_a_worker_that_is_replaced_is_no_start() -> None:
    daemon = Daemon()
    assert daemon.supervisor.ready_once
    for worker in list(daemon.world.alive):
        daemon.world.end(worker)
    assert daemon.supervisor.state is DaemonState.READY


@pytest.mark.parametrize(("ready", "told"), [(True, ["RELOADING", "reload", "READY"]), (False, ["reload"])])
def test_a_reload_before_the_start_is_over_does_not_end_the_start_for_systemd(ready: bool, told: list[str]) -> None:
    daemon = Daemon(ready=ready)
    daemon.reload()
    assert daemon.parts.asked == told


@pytest.mark.parametrize("stops", [False, True])
def test_a_reload_while_the_handlers_are_imported_waits_for_the_workers_it_changes(stops: bool) -> None:
    daemon = Daemon(imported=False)
    said: list[str] = []

    async def scene() -> None:
        reload = asyncio.ensure_future(daemon.supervisor.reload(False, said.append, "ann"))
        await asyncio.sleep(0)
        assert (daemon.parts.asked, said) == ([], ["waiting for the start"])
        if stops:
            await daemon.supervisor.stop(None, False, lambda text: None)
        else:
            daemon.supervisor._started.set()
        await reload

    asyncio.run(scene())
    orders = [asked for asked in daemon.parts.asked if asked.islower()]
    assert orders == (["reload ends", "stop", "reload"] if stops else ["reload"])


def test_what_became_of_a_reload_is_kept_for_whoever_asked_and_went_away() -> None:
    daemon = Daemon()
    assert daemon.supervisor.last_reload() is None
    daemon.parts.error = Refused("trial-failed", "the trial worker is not ready")
    with pytest.raises(Refused):
        daemon.reload()
    kept = daemon.supervisor.last_reload()
    assert kept is not None
    assert (kept["applied"], kept["error"], kept["generation"]) == (False, "the trial worker is not ready", 1)
    daemon.parts.error = None
    daemon.reload()
    daemon.parts.interrupted = 3  # old workers drain on behind its end
    kept = daemon.supervisor.last_reload()
    assert kept is not None
    assert (kept["by"], kept["applied"], kept["generation"], kept["interrupted"]) == ("ann", True, 2, 3)
    assert daemon.parts.asked[-1] == "READY"


def test_a_stop_ends_the_reload_first_and_no_ready_follows() -> None:
    daemon = Daemon()

    async def both() -> None:
        daemon.parts.gate = asyncio.Event()
        reload = asyncio.ensure_future(daemon.supervisor.reload(False, lambda text: None, "ann"))
        await asyncio.sleep(0)
        await daemon.supervisor.stop(None, False, lambda text: None)
        daemon.parts.gate.set()
        await reload

    asyncio.run(both())
    assert daemon.parts.asked == ["RELOADING", "reload", "reload ends", "stop"]


@pytest.mark.parametrize(("to", "after"), [("5", 5), ("+1", 3), ("-1", 1), ("0", 0), (None, 2)])
def test_scaling_counts_from_what_there_is_to_be_now(to: str | None, after: int) -> None:
    daemon = Daemon()
    assert daemon.supervisor.scale(daemon.pool.name, to, "ann") == (2, after)
    assert daemon.pool.wanted == after
    assert (daemon.pool.scaled_to is None) == (after == 2), "the file's own number is no drift"


@pytest.mark.parametrize("to", ["many", "-3", "100000", "2.5", ""])
def test_a_number_of_workers_that_is_none_is_refused_and_changes_nothing(to: str) -> None:
    daemon = Daemon()
    with pytest.raises(Refused) as caught:
        daemon.supervisor.scale(daemon.pool.name, to, "ann")
    assert caught.value.code == "scale-invalid"
    assert (daemon.pool.wanted, daemon.pool.scaled_to) == (2, None)


def test_who_quieted_first_stays_named_and_a_quiet_host_is_undone_as_a_whole() -> None:
    daemon = Daemon()
    supervisor, pool = daemon.supervisor, daemon.pool
    supervisor.quiet(None, "ann", "deploy")
    supervisor.quiet(pool.name, "bob")
    assert pool.quieted_by is not None
    assert (pool.quieted_by.who, pool.quieted_by.why) == ("ann", "deploy")
    assert supervisor.fleet.quieted_by is not None, "also for queues that a reload adds"
    supervisor.unquiet(None, "ann")
    assert (pool.quieted_by, supervisor.fleet.quieted_by, pool.is_quiet) == (None, None, False)


def test_a_queue_that_is_not_of_this_host_is_told_with_the_known_ones() -> None:
    daemon = Daemon()
    for order in (daemon.supervisor.quiet, daemon.supervisor.unquiet, daemon.supervisor.reset):
        with pytest.raises(NotThere) as caught:
            order("mial", "ann")
        assert list(caught.value.known) == [daemon.pool.name]


def test_it_lives_while_its_loop_turns() -> None:
    daemon = Daemon()
    daemon.supervisor.beat()
    assert daemon.supervisor.live() == (True, None)
    daemon.world.clock.now += 60
    assert daemon.supervisor.live() == (False, "the loop last turned 60s ago")
