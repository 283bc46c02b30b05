"""lua/annotate.lua: what a running job writes."""

from __future__ import annotations

from jobd.engine.turn import Note, annotate
from tests.support.queue_of import QueueOf


def test_progress_data_and_logs_are_written_in_order(q: QueueOf) -> None:
    q.put("1")
    before = q.tables()
    notes = [
        Note("progress", "1", b"50"), Note("log", "1", b"one"), Note("data", "1", b'{"x":1}'),
        Note("progress", "1", b'{"p":1}'), Note("log", "1", b"two"),
    ]  # fmt: skip
    assert q.run(annotate(q.keys, notes)) == [0] * 5
    assert q.changed_since(before) == {
        "1": {**before[q.keys.job("1")], "progress": '{"p":1}', "data": '{"x":1}'},
        "1:logs": ["one", "two"],
        "events": [
            {"event": "progress", "jobId": "1", "data": "50"}, {"event": "progress", "jobId": "1", "data": '{"p":1}'},
        ],
    }  # fmt: skip


def test_only_the_newest_lines_stay_when_the_job_says_so(q: QueueOf) -> None:
    q.put("1")
    q.run(annotate(q.keys, [Note("log", "1", str(n).encode(), keep_logs=2) for n in range(5)]))
    q.run(annotate(q.keys, [Note("log", "1", b"5", keep_logs=0)]))
    assert q.r.lrange(f"{q.keys.job('1')}:logs", 0, -1) == ["3", "4", "5"]


def test_a_job_that_is_gone_is_not_brought_back(q: QueueOf) -> None:
    q.put("1")
    before = q.tables()
    notes = [Note("progress", "x", b"1"), Note("log", "x", b"1"), Note("data", "x", b"1"), Note("data", "1", b"2")]
    assert q.run(annotate(q.keys, notes)) == [-1, -1, -1, 0]
    assert set(q.changed_since(before)) == {"1"}


def test_progress_and_data_sent_twice_leave_the_job_as_once_and_a_log_line_stands_twice(q: QueueOf) -> None:
    # Why, after a lost reply, a worker sends the first two again and the lines not.
    q.put("1")
    notes = annotate(q.keys, [Note("progress", "1", b"1"), Note("data", "1", b"{}"), Note("log", "1", b"line")])
    q.run(notes)
    once = q.r.hgetall(q.keys.job("1"))
    q.run(notes)
    assert q.r.hgetall(q.keys.job("1")) == once
    assert q.r.lrange(f"{q.keys.job('1')}:logs", 0, -1) == ["line", "line"]
