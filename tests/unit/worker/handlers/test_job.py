"""What a handler writes through its job is bounded and has a form that others can read."""

from __future__ import annotations

from typing import Any

import pytest

from jobd.worker.handlers.job import Job
from jobd.worker.handlers.payload import TEXT_MAX, NotJson
from tests.unit.worker.run.bench import taken


class Sink:
    """Keeps what the job writes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def logged(self, job: Job, line: str) -> None:
        self.lines.append(line)

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: object) -> None:
            raise AssertionError(f"{name} is not asked for")

        return refuse


def written(line: object) -> str:
    sink = Sink()
    Job(taken(), "q", 1, sink).log(line)
    (found,) = sink.lines
    return found


def test_a_log_line_of_any_length_keeps_its_head_and_tail() -> None:
    line = written("begin" + "é" * 5_000_000 + "end")
    assert len(line.encode()) <= TEXT_MAX
    assert (line[:5], line[-3:]) == ("begin", "end")
    assert "5000008 characters" in line


def test_a_log_line_of_half_a_surrogate_pair_has_a_form_in_redis() -> None:
    assert written("a\ud83db").encode() == b"a\\ud83db"


def test_whatever_is_logged_is_its_text() -> None:
    assert [written(None), written(1.5), written({"a": 1})] == ["None", "1.5", "{'a': 1}"]


@pytest.mark.parametrize("value", [float("nan"), object(), {1: object()}])
def test_progress_and_data_that_are_no_json_are_refused_before_anything_is_written(value: object) -> None:
    job = Job(taken(), "q", 1, Sink())
    with pytest.raises(NotJson):
        job.progress(value)
    with pytest.raises(NotJson):
        job.update_data(value)
    assert job.data is None
