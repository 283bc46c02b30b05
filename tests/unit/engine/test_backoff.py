"""The delay before attempt n (docs/wire-format.md, "Retrying and putting back")."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobd.duration import to_ms
from jobd.engine.backoff import Backoff, unknown_type
from jobd.errors import DurationError, InputError


def test_fixed_is_the_same_each_time_and_exponential_doubles() -> None:
    assert [Backoff.fixed("5s").after(k) for k in (1, 2, 9)] == [5_000] * 3
    assert [Backoff.exponential(1).after(k) for k in (1, 2, 3, 4)] == [1_000, 2_000, 4_000, 8_000]


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 750), (0.5, 875), (0.999, 999)])
def test_jitter_takes_a_random_share_off(chance: float, delay: int) -> None:
    assert Backoff.fixed("1s", jitter=0.25).after(1, chance=chance) == delay


def test_a_ceiling_bounds_the_delay_before_jitter() -> None:
    capped = Backoff("exponential", 1_000, 0.5, max_ms=3_000)
    assert capped.after(10, chance=0.0) == 1_500


@pytest.mark.parametrize("delay", [10**400, 1e300, 5])
def test_no_delay_and_no_attempt_is_too_large_to_compute(delay: float) -> None:
    backoff = Backoff.from_opts({"type": "exponential", "delay": delay, "jitter": 0.5})
    assert backoff is not None
    assert 0 <= backoff.after(100_000) <= 2**53


@pytest.mark.parametrize(
    "stored",
    [None, "5s", True, [], {}, {"type": "mine", "delay": 1}, {"type": ["fixed"], "delay": 1}],
)  # fmt: skip
def test_what_is_no_backoff_of_bullmq_reads_as_none(stored: object) -> None:
    assert Backoff.from_opts(stored) is None


def test_a_stored_backoff_reads_back_and_a_number_is_fixed() -> None:
    backoff = Backoff.exponential("2s", jitter=0.5)
    assert backoff.to_opts() == {"type": "exponential", "delay": 2_000, "jitter": 0.5}
    assert Backoff.from_opts(backoff.to_opts()) == backoff
    assert Backoff.from_opts(500) == Backoff.fixed(0.5)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(DurationError):
        Backoff.fixed("soon")
    with pytest.raises(InputError):
        Backoff.fixed("1s", jitter=1.5)


@pytest.mark.parametrize(
    ("delay", "ms"),
    [("20", 20), (" 0x10 ", 16), (2.5, 2), (None, 0), ("soon", 0), (float("nan"), 0), (True, 1), ([], 0), (-1, -1)],
)
def test_a_delay_is_read_as_javascript_reads_it(delay: object, ms: int) -> None:
    backoff = Backoff.from_opts({"type": "exponential", "delay": delay})
    assert backoff is not None
    assert backoff.after(1) == ms


@pytest.mark.parametrize(
    ("stored", "name"),
    [(None, None), (5, None), ({"type": "fixed"}, None), ({"type": "mine"}, "mine"), ({}, "missing"), ("5s", "5s")],
)
def test_a_type_nobody_here_knows_is_told(stored: object, name: str | None) -> None:
    assert unknown_type(stored) == name


def test_a_timedelta_is_a_duration() -> None:
    assert to_ms(timedelta(minutes=1, milliseconds=5)) == 60_005
    with pytest.raises(DurationError):
        to_ms(timedelta(seconds=-1))
