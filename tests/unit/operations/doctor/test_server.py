"""What `doctor` says of a server, fault by fault: with what follows, what mends it, and nothing of a sound one."""

from __future__ import annotations

import pytest

from jobd.operations.doctor import server
from jobd.operations.doctor.queues import _unbounded
from jobd.operations.documents.doctor import Finding

SOUND = {
    "redis_version": "7.2.4", "maxmemory_policy": "noeviction", "evicted_keys": "0", "aof_enabled": "1",
    "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok", "used_memory": "1000000", "maxmemory": "0",
    "connected_clients": "10",
}  # fmt: skip


def of_info(info: dict[str, str], *, save: str | None = "", clients_max: int = 10_000) -> list[Finding]:
    found = list(server._of_info(info, save, clients_max))
    assert all(finding["what"] and finding["then"] and finding["mend"] for finding in found)
    return found


def test_a_sound_server_has_no_finding_nor_one_that_says_nothing_of_itself() -> None:
    assert of_info(SOUND) == of_info({}, save=None, clients_max=0) == []
    assert of_info({**SOUND, "redis_version": "5.0.9", "valkey_version": "8.0.1"}) == []
    assert of_info({**SOUND, "aof_enabled": "0"}, save="3600 1") == []


@pytest.mark.parametrize(
    ("fault", "code", "level", "what", "mend"),
    [
        ({"maxmemory_policy": "volatile-lru"}, "eviction-policy", "error", "maxmemory-policy is volatile-lru",
         "redis-cli CONFIG SET maxmemory-policy noeviction"),
        ({"evicted_keys": "12"}, "eviction-seen", "warning", "12 keys were evicted", "redis-cli CONFIG SET"),
        ({"aof_enabled": "0"}, "no-persistence", "warning", "nothing is written to disk",
         "redis-cli CONFIG SET appendonly yes"),
        ({"aof_last_write_status": "err"}, "persistence-fails", "warning", "aof_last_write_status is err", "df -h"),
        ({"rdb_last_bgsave_status": "err"}, "persistence-fails", "warning", "rdb_last_bgsave_status is err", "df -h"),
        ({"maxmemory": "1100000"}, "memory-full", "warning", "are used", "jobd queue clean"),
        ({"connected_clients": "8001"}, "connections", "warning", "8001 of 10000 connections",
         "redis-cli CONFIG SET maxclients"),
        ({"redis_version": "6.0.16"}, "redis-old", "warning", "version 6.0.16", "apt install redis-server"),
    ],
)  # fmt: skip
def test_each_fault_of_a_server(fault: dict[str, str], code: str, level: str, what: str, mend: str) -> None:
    (finding,) = of_info({**SOUND, **fault})
    assert (finding["code"], finding["level"], finding["about"]) == (code, level, "redis")
    assert what in finding["what"]
    assert finding["mend"].startswith(mend)


@pytest.mark.parametrize(
    ("trip_ms", "clock_s", "codes"),
    [
        (0.2, 0.1, []), (19.0, -0.9, []), (35.0, 0.0, ["redis-slow"]), (0.2, 1.5, ["redis-clock"]),
        (0.2, -90.0, ["redis-clock"]),
    ],
)  # fmt: skip
def test_a_server_that_is_far_away_or_in_another_time(trip_ms: float, clock_s: float, codes: list[str]) -> None:
    assert [finding["code"] for finding in server._pace(trip_ms, clock_s)] == codes


def test_a_history_without_a_bound_is_told_of_the_state_that_has_it() -> None:
    from types import SimpleNamespace

    from jobd.engine.states import State

    facts = SimpleNamespace(counts={State.COMPLETED: 100_000, State.FAILED: 100_001})
    (finding,) = _unbounded("email", facts)  # type: ignore[arg-type]
    assert (finding["code"], finding["about"]) == ("unbounded-history", "email")
    assert finding["mend"] == "jobd queue clean email --state failed --older 7d"
