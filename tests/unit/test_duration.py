"""Durations and sizes as people read them."""

from __future__ import annotations

import pytest

from jobd.duration import format_duration, format_size


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0ms"), (0, "0ms"), (0.6, "1ms"), (999.4, "999ms"), (999.6, "1s"), (1_000, "1s"), (1_440, "1.4s"),
        (9_999, "10s"), (42_700, "42s"), (60_000, "1m"), (130_000, "2m10s"), (3_599_999, "59m59s"),
        (11_100_000, "3h5m"), (273_600_000, "3d 4h"), (86_400_000, "1d"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_its_two_largest_units(ms: float, text: str) -> None:
    assert format_duration(ms) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"), (999.4, "999B"), (999.6, "1kB"), (1_500, "1.5kB"), (999_499, "999kB"), (999_500, "1MB"),
        (61_000_000, "61MB"), (999_600_000, "1GB"), (1_900_000_000, "1.9GB"), (2 * 10**12, "2000GB"),
    ],
)  # fmt: skip
def test_a_size_has_three_digits_and_the_unit_they_belong_to(size: float, text: str) -> None:
    assert format_size(size) == text
