"""Pauses before Redis is tried again."""

from __future__ import annotations

from jobd.errors import RedisRefused, RedisUnavailable
from jobd.worker.fetch.fetch_policy import ReconnectDelay


def test_redis_that_is_away_is_tried_at_once_and_then_a_few_times_a_second() -> None:
    delay = ReconnectDelay()
    delay.failed(RedisUnavailable("gone"))
    assert [delay.next_s() for _ in range(7)] == [
        *ReconnectDelay.PAUSES_S,
        ReconnectDelay.PAUSES_S[-1],
        ReconnectDelay.PAUSES_S[-1],
    ]


def test_redis_that_refuses_turn_after_turn_is_asked_once_a_second() -> None:
    delay = ReconnectDelay()
    delay.failed(RedisRefused("WRONGTYPE"))
    assert delay.next_s() == 0.0
    delay.failed(RedisRefused("WRONGTYPE"))
    assert delay.next_s() == ReconnectDelay.REFUSED_S


def test_turn_that_worked_is_a_new_beginning() -> None:
    delay = ReconnectDelay()
    for _ in range(3):
        delay.failed(RedisRefused("WRONGTYPE"))
        delay.next_s()
    delay.worked()
    assert delay.next_s() == 0.0
