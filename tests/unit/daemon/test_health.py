"""What `status` and `health` say of pools, workers and duties, without a process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jobd.config.scaling import Scaling
from jobd.daemon.health import FETCH_LIMIT_S, Health
from jobd.daemon.processes.hold import HeldBy

NOW = 1000.0
STANDS = "a: the event loop of worker 7 has not turned for 9s"


def worker(**more: Any) -> Any:
    board = SimpleNamespace(busy=more.pop("busy", 0), fetched_at=more.pop("fetched_at", NOW))
    given = {
        "board": board, "is_up": True, "redis_up": True, "redis_trouble": None, "takes_jobs": True, "pid": 7,
        "loop_stands_since": None, "ready_at": 0.0, "slots": list,
    }  # fmt: skip
    return SimpleNamespace(**{**given, **more})


def pool(*workers: Any, hold: HeldBy | None = None, **more: Any) -> Any:
    given = {
        "name": "a", "hold": SimpleNamespace(by=hold, is_on=hold is not None, reason="why\nmore"), "was_ready": True,
        "is_open": True, "wanted": 1, "is_quiet": False, "withheld": False, "scaled_to": None, "scaled_by": None,
        "quieted_by": None, "queue": SimpleNamespace(concurrency=2, scaling=Scaling(2, 2)),
        "workers": lambda: list(workers), "has_ready": lambda: bool(workers),
    }  # fmt: skip
    return SimpleNamespace(**{**given, **more})


def health(*pools: Any) -> Health:
    fleet: Any = SimpleNamespace(
        pools={one.name: one for one in pools},
        workers=lambda: [(one, found) for one in pools for found in one.workers()],
    )
    fleet.clock = SimpleNamespace(monotonic=lambda: fleet.now)
    fleet.now = NOW
    return Health(fleet)


def test_it_knows_for_how_long_redis_was_away_and_that_it_is():
    known = health(pool())
    known.redis_said("stalled", "no permission")
    assert known.last_silence()[1] == 0.0, "it answers"
    for passed_s, duty, trouble in ((0, "renew", "away"), (3, "redis probe", "loading"), (2, "renew", None)):
        known._fleet.now += passed_s
        known.redis_said(duty, trouble)
    assert known.last_silence() == (NOW + 5, 5)
    known._fleet.now += 4
    assert known.last_silence() == (NOW + 9, 9)
    known.redis_said("redis probe", None)
    known._fleet.now += 60
    assert known.last_silence() == (NOW + 9, 9)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (pool(worker()), []),
        (pool(hold=HeldBy.BREAKER), ["a: breaker"]),
        (pool(hold=HeldBy.SETUP), ["a: why"]),
        (pool(), ["a: no worker is ready"]),
        (pool(was_ready=False), []),
        (pool(wanted=0), []),
        (pool(is_open=False), []),
        (pool(worker(redis_trouble="memory full")), ["redis: memory full"]),
        (pool(worker(redis_trouble="away", is_up=False)), []),
    ],
)
def test_what_is_not_as_it_should_be(found, told):
    assert health(found).degraded_by(NOW) == told


def test_a_reason_of_redis_says_more_than_its_silence_and_ends_with_an_answer():
    known = health(pool(worker(redis_trouble="away")))
    assert known.redis_trouble() == "down"
    known.redis_said("renew", "loading")
    assert known.redis_trouble() == "loading"
    known.redis_said("renew", None)
    assert known.redis_trouble() == "down"
    assert not known.redis_down()
    assert health(pool(worker(redis_up=False))).redis_down()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (pool(worker()), []),
        (pool(worker(fetched_at=NOW - FETCH_LIMIT_S)), ["a: no fetch was answered for 15s"]),
        (pool(worker(fetched_at=0.0, ready_at=NOW - 1)), []),
        (pool(worker(fetched_at=0.0, busy=2)), []),
        (pool(worker(fetched_at=0.0), worker()), []),
        (pool(worker(fetched_at=0.0), worker(takes_jobs=False)), ["a: no fetch was answered for 1000s"]),
        (pool(worker(fetched_at=0.0, redis_trouble="away")), ["redis: down"]),
        (pool(worker(loop_stands_since=NOW - 9)), [STANDS]),
        (pool(worker(), worker(loop_stands_since=NOW - 9)), [STANDS]),
        (pool(worker(loop_stands_since=NOW - 9, redis_trouble="away")), [STANDS, "redis: down"]),
        (pool(worker(loop_stands_since=NOW - 9, takes_jobs=False), worker()), []),
        (pool(worker(loop_stands_since=NOW - 9, slots=lambda: [1])), []),
        (pool(worker(loop_stands_since=NOW - 9, slots=lambda: [1], busy=1, fetched_at=0.0)), [STANDS]),
        (pool(worker(loop_stands_since=NOW - 9, slots=lambda: [1, 2], busy=2, fetched_at=0.0)), []),
        (pool(worker(fetched_at=0.0), is_quiet=True), []),
        (pool(worker(fetched_at=0.0), withheld=True), []),
        (pool(worker(fetched_at=0.0), wanted=0), []),
    ],
)
def test_which_queue_is_not_consumed_though_it_should_be(found, told):
    assert health(found).degraded_by(NOW) == told


def test_drift_is_what_the_file_does_not_say():
    by = SimpleNamespace(told=lambda now: f"by ann {NOW - now:.0f}s ago")
    assert health(pool(scaled_to=3, scaled_by=by, quieted_by=by)).drift(NOW) == [
        "a scaled 2 -> 3 at runtime by ann 0s ago (file says 2)",
        "a quiet at runtime by ann 0s ago",
    ]
    assert health(pool(scaled_to=2, scaled_by=by)).drift(NOW) == []
