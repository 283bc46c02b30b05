"""The counts of a worker: written, read while it writes, added up."""

from __future__ import annotations

import pytest

from jobd.protocol.counts import BOUNDS_S, ENDS, LABELS, OTHER, SIZE, CountsReader, CountsWriter, RunEnd, Runs


@pytest.fixture
def both() -> tuple[CountsWriter, CountsReader]:
    memory = memoryview(bytearray(SIZE))
    return CountsWriter(memory), CountsReader(memory)


def ends(runs: Runs) -> dict[str, int]:
    return {end.value: count for end, count in zip(ENDS, runs.ends, strict=True) if count}


def test_a_run_counts_under_its_name_and_end(both: tuple[CountsWriter, CountsReader]) -> None:
    writer, reader = both
    digest = writer.label("digest")
    writer.ran(digest, RunEnd.COMPLETED, 0.02)
    writer.ran(digest, RunEnd.TIMED_OUT, 7200)
    writer.ran(0, RunEnd.FAILED, 0.005)
    writer.ended(digest, RunEnd.EXPIRED)
    runs = reader.runs()
    assert {name: ends(one) for name, one in runs.items()} == {
        OTHER: {"failed": 1},
        "digest": {"completed": 1, "timed_out": 1, "expired": 1},
    }
    durations = runs["digest"].durations
    assert durations.total_s == pytest.approx(7200.02)
    assert durations.counts[BOUNDS_S.index(0.025)] == durations.counts[-1] == 1
    assert sum(durations.counts) == 2
    assert runs[OTHER].durations.counts[0] == 1


def test_waits_are_never_below_zero(both: tuple[CountsWriter, CountsReader]) -> None:
    writer, reader = both
    writer.waited(-5)
    writer.waited(0.3)
    assert reader.waits().total_s == pytest.approx(0.3)
    assert sum(reader.waits().counts) == 2


def test_names_without_room_are_others(both: tuple[CountsWriter, CountsReader]) -> None:
    writer, reader = both
    labels = [writer.label(f"name {number}") for number in range(LABELS + 5)]
    assert len(set(labels)) == LABELS
    assert labels[-1] == writer.label(OTHER) == writer.label("x" * 200) == 0
    assert writer.label("name 3") == labels[3]
    assert len(reader.runs()) == LABELS


def test_sums_of_runs() -> None:
    one = Runs(tuple(range(len(ENDS))))
    assert (one + one).ends == tuple(2 * count for count in range(len(ENDS)))
