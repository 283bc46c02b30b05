from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from jobd.protocol import board
from jobd.protocol.board import BoardReader, BoardWriter, SlotState

Pair = tuple[BoardWriter, BoardReader]


@pytest.fixture
def pair() -> Iterator[Pair]:
    fd = board.create()
    writer, reader = BoardWriter(fd), BoardReader(fd)
    os.close(fd)
    yield writer, reader
    writer.close()
    reader.close()


def test_new_board_is_empty(pair: Pair) -> None:
    _, reader = pair
    assert reader.slots() == []
    assert (reader.beat_at, reader.turn_sent_at, reader.fetched_at) == (0, 0, 0)
    assert (reader.jobs_done, reader.jobs_failed, reader.busy) == (0, 0, 0)


def test_slot_goes_from_running_to_returned_to_empty(pair: Pair) -> None:
    writer, reader = pair
    writer.run(7, "id-1", "welcome", 3, (1.0, 2.0, 3.0))
    (view,) = reader.slots()
    assert (view.slot, view.state, view.job_id, view.name, view.ats) == (7, SlotState.RUNNING, "id-1", "welcome", 3)
    assert (view.started_at, view.deadline_at, view.kill_at) == (1.0, 2.0, 3.0)
    writer.returned(7)
    assert [view.state for view in reader.slots()] == [SlotState.RETURNED]
    writer.clear(7)
    assert reader.slots() == []
    writer.run(7, "id-2", "welcome", 1, (4.0, 0.0, 0.0))
    assert [(view.job_id, view.state) for view in reader.slots()] == [("id-2", SlotState.RUNNING)]


@pytest.mark.parametrize(
    ("job_id", "shown"),
    [("x" * 180, "x" * 180), ("x" * 181, None), ("ü" * 90, "ü" * 90), ("ü" * 91, None), ("\udc80", "\udc80"), ("", "")],
)
def test_ids_up_to_180_bytes_are_shown_and_longer_ones_say_so(pair: Pair, job_id: str, shown: str | None) -> None:
    writer, reader = pair
    writer.run(0, job_id, "n", 1, (1.0, 0.0, 0.0))
    view = reader.slot(0)
    assert view is not None
    assert view.job_id == shown


def test_long_name_is_cut_and_half_a_character_does_no_harm(pair: Pair) -> None:
    writer, reader = pair
    writer.run(0, "1", "é" * 40, 1, (1.0, 0.0, 0.0))
    writer.run(1, "2", "a" + "é" * 40, 1, (1.0, 0.0, 0.0))
    assert reader.slot(0).name == "é" * 28  # type: ignore[union-attr]
    assert reader.slot(1).name.startswith("a" + "é" * 27)  # type: ignore[union-attr]


def test_every_slot_can_be_used(pair: Pair) -> None:
    writer, reader = pair
    for slot in range(board.SLOTS):
        writer.run(slot, str(slot), "n", slot, (1.0, 0.0, 0.0))
    assert [view.job_id for view in reader.slots()] == [str(slot) for slot in range(board.SLOTS)]
    assert len(reader.slots(limit=3)) == 3


@pytest.mark.parametrize("byte", [0, 3, *range(8, 288, 7)])
def test_record_damaged_in_writing_leaves_the_one_before_it(pair: Pair, byte: int) -> None:
    writer, reader = pair
    writer.run(0, "old", "n", 1, (1.0, 0.0, 0.0))
    writer.run(0, "new", "n", 2, (2.0, 0.0, 0.0))
    place = board._HEADER_BYTES + byte  # the second record of slot 0 lies in its first place: sequence number 2
    writer._memory[place] ^= 0xFF
    view = reader.slot(0)
    assert view is not None
    # The tail behind the record's own bytes is padding: damage there harms nothing.
    assert view.job_id == ("old" if byte < board._HEAD.size + board._BODY.size else "new")


def test_counters_and_moments_are_seen_by_the_reader(pair: Pair) -> None:
    writer, reader = pair
    writer.beat(1.5)
    writer.turn_sent(2.5)
    writer.fetched(3.5)
    writer.busy(3)
    writer.count_run(0.0, False)
    writer.count_run(1.0, True)
    assert (reader.beat_at, reader.turn_sent_at, reader.fetched_at) == (1.5, 2.5, 3.5)
    assert (reader.jobs_done, reader.jobs_failed, reader.busy) == (2, 1, 3)
    assert sum(reader.histogram()) == 2


def test_buckets_rise_and_bound_what_they_count() -> None:
    durations = [0.0, 0.0001, 0.00019, 0.0002, 0.0003, 0.001, 0.01, 0.5, 1, 3, 60, 3600, 10**9]
    buckets = [board.bucket_of(duration) for duration in durations]
    assert buckets == sorted(buckets)
    assert all(0 <= bucket < board.BUCKETS for bucket in buckets)
    for duration, bucket in zip(durations[:-1], buckets[:-1], strict=True):
        assert duration <= board.bucket_limit_s(bucket)
        assert bucket == 0 or duration >= board.bucket_limit_s(bucket - 1)


def test_what_is_no_board_is_refused() -> None:
    fd = os.memfd_create("other")
    os.ftruncate(fd, board.SIZE)
    with pytest.raises(ValueError, match="not a board"):
        BoardReader(fd)
    os.close(fd)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # of xdist
def test_writer_killed_at_any_moment_leaves_a_readable_board() -> None:
    for _ in range(20):
        fd = board.create()
        reader = BoardReader(fd)
        pid = os.fork()
        if pid == 0:
            writer = BoardWriter(fd)
            number = 0
            while True:
                number += 1
                writer.run(0, f"job-{number}", "n", number, (float(number), 0.0, 0.0))
        view = None
        end = time.monotonic() + 5
        while view is None and time.monotonic() < end:
            view = reader.slot(0)
        for _ in range(random.randrange(2000)):
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        view = reader.slot(0)
        assert view is not None
        assert view.job_id == f"job-{view.ats}"
        reader.close()
        os.close(fd)
