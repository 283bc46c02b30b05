"""Pauses before Redis is tried again."""

from __future__ import annotations

from jobd.errors import RedisRefused, RedisUnavailable
from jobd.worker.fetch.reconnect_delay import RECONNECT_S, REFUSED_S, Patience


def test_redis_that_is_away_is_tried_at_once_and_then_a_few_times_a_second() -> None:
    patience = Patience()
    patience.failed(RedisUnavailable("gone"))
    assert [patience.next_s() for _ in range(7)] == [*RECONNECT_S, RECONNECT_S[-1], RECONNECT_S[-1]]


def test_redis_that_refuses_turn_after_turn_is_asked_once_a_second() -> None:
    patience = Patience()
    patience.failed(RedisRefused("WRONGTYPE"))
    assert patience.next_s() == 0.0
    patience.failed(RedisRefused("WRONGTYPE"))
    assert patience.next_s() == REFUSED_S


def test_turn_that_worked_is_a_new_beginning() -> None:
    patience = Patience()
    for _ in range(3):
        patience.failed(RedisRefused("WRONGTYPE"))
        patience.next_s()
    patience.worked()
    assert patience.next_s() == 0.0
