"""What the charts answer: is it keeping up, since when not, which queue."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from jobd.operations.documents.history import QueueHistory
from jobd.web.charts import charts, spark

UNTIL = 1_800_000_000_000 // 60_000 * 60_000


def queue(
    name: str, done: list[float], failed: list[float] | None = None, oldest: list[float | None] | None = None
) -> QueueHistory:
    nothing: list[float | None] = [None] * len(done)
    return {
        "name": name, "source": "daemon", "until": UNTIL, "done": [*done], "failed": [*(failed or [0.0] * len(done))],
        "waiting": nothing, "oldest_s": oldest or nothing,
    }  # fmt: skip


def test_without_a_past_nothing_is_drawn() -> None:
    assert charts([]) == []
    assert charts([queue("a", [1.0])]) == []


def test_queues_that_keep_up() -> None:
    done, wait, failed = charts([queue("a", [10.0] * 10, oldest=[1.0] * 10), queue("b", [5.0] * 10)])
    assert (done.now, wait.note, wait.bad, failed.bad) == ("15", "keeping up", False, False)


def test_the_queue_that_is_behind_is_named_with_the_minute_it_began() -> None:
    behind = queue("slow", [1.0] * 30, oldest=[2.0] * 20 + [100.0 + minute for minute in range(10)])
    wait = charts([queue("fast", [9.0] * 30, oldest=[0.0] * 30), behind])[1]
    assert wait.bad
    assert wait.note == "slow: behind since 07:50"
    assert wait.now == "1m49s"


def test_the_queue_that_fails_most_is_named() -> None:
    failed = charts([queue("a", [9.0] * 5, [1.0] * 5), queue("b", [9.0] * 5, [3.0] * 5)])[-1]
    assert (failed.now, failed.note, failed.bad) == ("20 in 1h", "most in b", True)


def test_one_queues_failures_are_a_share_of_its_runs() -> None:
    assert charts([queue("a", [10.0] * 10, [1.0] * 10)])[-1].note == "10.0% of attempts"


def test_minutes_of_queues_that_began_at_other_times_are_joined_by_the_clock() -> None:
    young, old = queue("young", [5.0, 5.0]), queue("old", [1.0] * 10)
    young["until"] = UNTIL - 60_000
    assert charts([young, old])[0].note == "19 in 9m"


def test_six_hours_are_well_formed_and_short() -> None:
    for chart in charts(
        [queue("<&\"'>", [float(n % 50) for n in range(360)], [1.0] * 360, [float(n) for n in range(360)])]
    ):
        ET.fromstring(str(chart.svg))
        assert len(chart.svg) < 16_000
        assert not re.search(r"style=|<script|nan", str(chart.svg))


def test_a_row_has_its_last_hour() -> None:
    picture = str(spark(queue("a", [2.0] * 90)))
    ET.fromstring(picture)
    assert "120 done in the last hour, at most 2 a minute" in picture
    assert str(spark(queue("a", [2.0]))) == ""


@pytest.mark.parametrize(
    ("highest", "marks"),
    [
        (1.0, ["1", "2"]),
        (3.0, ["2", "4"]),
        (57.0, ["30", "60"]),
        (1969.0, ["1\u202f000", "2\u202f000"]),
        (2100.0, ["1\u202f200", "2\u202f400"]),
        (11.0, ["6", "12"]),
    ],
)
def test_a_scale_of_counts_ends_at_a_round_number_and_names_its_half(highest: float, marks: list[str]) -> None:
    picture = ET.fromstring(str(charts([queue("a", [highest] * 10)])[0].svg))
    assert [text.text for text in picture.iter("text")][:3] == [*marks, "0"]


@pytest.mark.parametrize(
    ("longest", "marks"), [(0.3, ["500ms", "1s"]), (100.0, ["1m", "2m"]), (400.0, ["5m", "10m"]), (5e5, ["3d", "6d"])]
)
def test_a_scale_of_waits_ends_at_a_duration_people_know(longest: float, marks: list[str]) -> None:
    picture = ET.fromstring(str(charts([queue("a", [1.0] * 10, oldest=[longest] * 10)])[1].svg))
    assert [text.text for text in picture.iter("text")][:3] == [*marks, "0"]


def test_a_chart_says_to_who_does_not_see_it_what_it_shows() -> None:
    labels = [
        ET.fromstring(str(chart.svg)).attrib["aria-label"]
        for chart in charts([queue("a", [10.0] * 10, [1.0] * 10, [70.0] * 10)])
    ]
    assert labels == [
        "Jobs done per minute, now 10", "Longest wait, behind since 07:50",
        "Failed attempts per minute, 10 in the last hour",
    ]  # fmt: skip
