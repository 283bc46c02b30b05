"""What a handler prints goes to its job's log: whole lines, its own, up to a size."""

from __future__ import annotations

import contextvars
import io
import logging
import sys
from typing import Any

import pytest

from jobd.worker.run.output import Output, capture


class Job:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)


def streams(monkeypatch: pytest.MonkeyPatch) -> dict[str, io.StringIO]:
    """Put streams in place; in the test itself, since pytest puts its own in place before each."""
    made = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    for name, stream in made.items():
        monkeypatch.setattr(sys, name, stream)
    return made


def in_job(job: Job, run: Any, most: int = 64_000) -> None:
    """Run something as a handler of the job does."""
    output = Output(job, most)  # type: ignore[arg-type]

    def begin() -> None:
        output.begin()
        run()
        output.end()

    contextvars.copy_context().run(begin)


def test_lines_reach_the_job_that_printed_them_and_the_stream_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = streams(monkeypatch)
    capture()
    one, two = Job(), Job()
    in_job(one, lambda: (print("a", "b"), print("half", end=""), print(" whole"), print("no end", end="")))
    in_job(two, lambda: print("mine", file=sys.stderr))
    print("nobody's")
    assert (one.lines, two.lines) == (["a b", "half whole", "no end"], ["mine"])
    assert made["stdout"].getvalue() == "a b\nhalf whole\nno endnobody's\n"


def test_half_lines_of_two_streams_are_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    capture()
    job = Job()

    def run() -> None:
        sys.stdout.write("out ")
        sys.stderr.write("err\n")
        sys.stdout.writelines(["and", " on\n"])

    in_job(job, run)
    assert job.lines == ["err", "out and on"]


def test_logging_set_up_before_goes_the_same_way_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = streams(monkeypatch)
    logger, handler = logging.getLogger("test.output"), logging.StreamHandler(made["stderr"])
    logger.addHandler(handler)
    logger.propagate = False
    try:
        capture()
        capture()
        job = Job()
        in_job(job, lambda: logger.warning("careful"))
    finally:
        logger.removeHandler(handler)
    assert job.lines == ["careful"]
    assert made["stderr"].getvalue() == "careful\n"


def test_more_than_the_size_is_left_out_with_one_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    capture()
    job = Job()
    in_job(job, lambda: [print("x" * 99) for _ in range(20)], most=1000)
    assert [len(line) for line in job.lines[:-1]] == [99] * 9
    assert "more than 1000 bytes" in job.lines[-1]


def test_a_line_without_an_end_is_cut_into_several(monkeypatch: pytest.MonkeyPatch) -> None:
    streams(monkeypatch)
    capture()
    job = Job()
    in_job(job, lambda: print("x" * 40_000))
    assert "".join(job.lines) == "x" * 40_000
    assert len(job.lines) == 3
