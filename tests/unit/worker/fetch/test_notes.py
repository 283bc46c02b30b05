"""What running jobs want written: in which calls it goes, and what is written again."""

from __future__ import annotations

from collections import deque

from jobd.engine.keys import Keys
from jobd.engine.turn import Note
from jobd.worker.fetch.notes import BATCH, BATCH_BYTES, Notes


def notes_of(*waiting: Note) -> Notes:
    return Notes(Keys("bull", "mail"), deque(waiting))


def progress(number: int, size: int = 1) -> Note:
    return Note("progress", str(number), b"1" * size)


def test_no_call_is_larger_than_redis_bears_and_the_order_stays() -> None:
    many = [progress(number) for number in range(BATCH + 1)]
    large = progress(-1, BATCH_BYTES)
    calls, sent = notes_of(*many, large, progress(-2)).next()
    assert len(calls) == 4
    assert sent == [*many, large, progress(-2)]


def test_what_was_lost_goes_first_without_log_lines_and_in_calls_no_larger_than_others() -> None:
    notes = notes_of(progress(0))
    lost = [progress(number, BATCH_BYTES // 2) for number in range(1, 6)]
    notes.lost([*lost, Note("log", "1", b"once")])
    assert notes.unconfirmed
    calls, sent = notes.next()
    assert (len(calls), sent) == (3, [*lost, progress(0)])
    assert not notes.unconfirmed
