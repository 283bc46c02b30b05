"""The ring of minutes: what was counted in which, what nobody saw, and that it stays bounded."""

from __future__ import annotations

from jobd.daemon.history import MINUTES, History, Sample

MINUTE = 60_000


def sample(done: int, failed: int = 0, waiting: int | None = 0, oldest: float | None = None, name: str = "q") -> Sample:
    return Sample(name, done, failed, waiting, oldest)


def test_runs_count_in_the_minute_in_which_they_were_seen() -> None:
    history = History()
    for at_ms, done, failed in ((0, 3, 1), (30_000, 5, 1), (MINUTE, 5, 1), (3 * MINUTE, 9, 2)):
        history.note([sample(done, failed)], at_ms)
    found = history.of(None)["q"]
    assert found["done"] == [5.0, 0.0, 0.0, 4.0]
    assert found["failed"] == [1.0, 0.0, 0.0, 1.0]
    assert found["until"] == 4 * MINUTE


def test_of_what_waits_the_most_of_a_minute_is_kept_and_nothing_is_null() -> None:
    history = History()
    history.note([sample(0, waiting=7, oldest=1.5)], 0)
    history.note([sample(0, waiting=2, oldest=30.0)], 20_000)
    history.note([sample(0, waiting=None)], MINUTE)
    history.note([sample(0, waiting=0)], 2 * MINUTE)
    found = history.of(["q"])["q"]
    assert found["waiting"] == [7.0, None, 0.0]
    assert found["oldest_s"] == [30.0, None, 0.0]


def test_the_ring_keeps_the_last_minutes_only() -> None:
    history = History()
    for minute in range(MINUTES + 50):
        history.note([sample(minute)], minute * MINUTE)
    found = history.of(None)["q"]
    assert len(found["done"]) == MINUTES
    assert sum(value or 0 for value in found["done"]) == MINUTES
    history.note([sample(MINUTES + 50)], 10 * MINUTES * MINUTE)
    assert sum(value or 0 for value in history.of(None)["q"]["done"]) == 1.0


def test_a_clock_that_goes_back_changes_no_earlier_minute() -> None:
    history = History()
    history.note([sample(1)], 5 * MINUTE)
    history.note([sample(4)], 2 * MINUTE)
    assert history.of(None)["q"]["done"] == [4.0]


def test_minutes_go_on_after_the_clock_was_set_back_and_end_where_it_is_now() -> None:
    history = History()
    history.note([sample(1)], 65 * MINUTE)
    for minute, done in ((5, 2), (6, 4), (8, 8)):
        history.note([sample(done)], minute * MINUTE)
    found = history.of(None)["q"]
    assert found["done"] == [2.0, 2.0, 0.0, 4.0]
    assert found["until"] == 9 * MINUTE


def test_a_queue_that_is_gone_is_forgotten() -> None:
    history = History()
    history.note([sample(1), sample(1, name="other")], 0)
    history.note([sample(1, name="other")], MINUTE)
    assert list(history.of(None)) == ["other"]
    assert history.of(["q"]) == {}
