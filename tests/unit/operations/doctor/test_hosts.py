"""Clocks of other hosts against the locks of this one, and a package that has taken the name."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.engine.hosts import LIFE_MS, HostSign
from jobd.operations.doctor import hosts

NOW_S = 1_800_000_000.0


class Runner:
    """A Redis whose clock stands, and which heard of the other host a moment ago."""

    async def run(self, command: Any) -> float:
        return NOW_S

    async def run_many(self, commands: Any) -> list[int]:
        return [command.read(LIFE_MS - 1_000) for command in commands]


def found(monkeypatch: pytest.MonkeyPatch, off_ms: int, lock_ms: int | None, *, daemon: bool = True) -> list[str]:
    sign = HostSign("k3f9", "shop", 1, "far", "0.1", 1, (), 0, "x", int(1000 * NOW_S) - 1_000 + off_ms)

    async def signs(place: Any) -> list[HostSign]:
        return [sign]

    monkeypatch.setattr(hosts, "signs_of_hosts", signs)
    host = SimpleNamespace(shortest_lock_ms=lambda: lock_ms) if daemon else None
    place: Any = SimpleNamespace(runner=Runner(), prefix="bull", host=host)
    _, findings = asyncio.run(hosts.about_hosts(place))
    return [f"{finding['level']} {finding['code']} {finding['about']}" for finding in findings]


@pytest.mark.parametrize(
    ("off_ms", "lock_ms", "daemon", "told"),
    [
        (7_400, 30_000, True, False), (7_600, 30_000, True, True), (-7_600, 30_000, True, True),
        (1_100, 4_000, True, True), (900, 4_000, True, False), (7_600, None, True, True), (7_600, None, False, True),
        (7_400, None, False, False),
    ],
)  # fmt: skip
def test_a_clock_may_be_off_by_a_quarter_of_a_lock(
    monkeypatch: pytest.MonkeyPatch, off_ms: int, lock_ms: int | None, daemon: bool, told: bool
) -> None:
    assert found(monkeypatch, off_ms, lock_ms, daemon=daemon) == (["error host-clock far"] if told else [])


def test_another_package_of_the_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "distribution", lambda name: SimpleNamespace(version="3.0"))
    (finding,) = hosts.about_packages()
    assert (finding["code"], finding["mend"]) == ("strange-package", "pip uninstall jobd")
