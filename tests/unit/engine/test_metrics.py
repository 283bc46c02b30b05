"""BullMQ's metrics as minutes of the clock."""

from __future__ import annotations

import pytest

from jobd.engine.metrics import Head, minutes

MINUTE = 60_000


@pytest.mark.parametrize(
    ("head", "closed", "now_minute", "expected"),
    [
        (None, [], 10, []),
        (Head(4, 10 * MINUTE, 3), [3], 10, [3, 1]),
        (Head(4, 10 * MINUTE, 3), [3], 12, [3, 1, 0, 0]),
        (Head(3, 10 * MINUTE, 0), [], 10, [3]),
        (Head(9, 10 * MINUTE + 59_000, 4), [0, 0, 4], 11, [4, 0, 0, 5, 0]),
        (Head(2, 10 * MINUTE, 5), [], 10, [0]),
    ],
)
def test_minutes(head: Head | None, closed: list[int], now_minute: int, expected: list[int]) -> None:
    assert minutes(head, closed, now_minute * MINUTE + 1) == expected


def test_no_more_than_six_hours() -> None:
    assert len(minutes(Head(1, 0, 0), [1] * 360, 10_000 * MINUTE)) == 360
