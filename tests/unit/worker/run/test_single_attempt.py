"""One attempt without a daemon: the outcomes, what the handler wrote and added."""

from __future__ import annotations

from typing import Any

import pytest

from jobd.engine.states import Outcome
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.run.single_attempt import OUTCOMES, Added, Around, SingleAttempt, taken_of
from tests.unit.worker.run import handlers
from tests.unit.worker.run.bench import numbers


class Notes:
    def __init__(self) -> None:
        self.found: list[Any] = []

    def progressed(self, value: bytes) -> None:
        self.found.append(value)

    def logged(self, line: str) -> None:
        self.found.append(line)

    def data_changed(self, data: bytes) -> None:
        self.found.append(data)

    def added(self, job: Added) -> None:
        self.found.append(job)


def alone(handler: str, **more: Any) -> tuple[SingleAttempt, Notes]:
    wanted, notes = numbers(handler, **more), Notes()
    return SingleAttempt(wanted, JobPolicies(wanted, []), "q", notes), notes


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        ("echo", "completed"), ("aecho", "completed"), ("fail", "failed"), ("later", "delayed"),
        ("limited", "rate_limited"), ("give_up", "failed"),
    ],
)  # fmt: skip
def test_outcomes(handler: str, outcome: str) -> None:
    ending = alone(handler)[0].run(taken_of("n", {"data": {"n": 1}}))
    assert ending.outcome == outcome
    assert (ending.error is None) == (outcome == "completed")


def test_every_outcome_has_its_word() -> None:
    assert set(OUTCOMES) == set(Outcome)
    assert alone("wait_for_children")[0].run(taken_of("n", {"data": 1})).outcome == "waiting_children"


def test_attempts_left_are_a_retry_with_its_delay() -> None:
    ending = alone("fail")[0].run(taken_of("n", {"data": 1, "opts": {"attempts": 2, "backoff": 700}}))
    assert (ending.outcome, ending.delay_ms, str(ending.error)) == ("retry", 700, "no luck")


def test_notes_come_as_they_are_written() -> None:
    one, notes = alone("talk")
    one.run(taken_of("n", {"data": 1}))
    assert notes.found == [b"1", "line", b'{"n":2}']


@pytest.mark.parametrize("handler", ["echo", "fail"])
def test_mode_process_runs_on_this_thread_and_setup_and_teardown_around_it(handler: str) -> None:
    handlers.seen.clear()
    one, _ = alone(handler, mode="process")
    one.around = Around(lambda: handlers.seen.append("setup"), lambda: handlers.seen.append("teardown"))
    assert one.run(taken_of("n", {"data": 1})).outcome == ("completed" if handler == "echo" else "failed")
    assert handlers.seen == ["setup", "teardown"]


def test_setup_that_raises_is_raised_in_every_mode() -> None:
    def broken() -> None:
        raise RuntimeError("no database")

    for mode in ("thread", "process"):
        one, _ = alone("echo", mode=mode)
        one.around = Around(broken)
        with pytest.raises(RuntimeError, match="no database"):
            one.run(taken_of("n", {"data": 1}))


def test_timeout_holds() -> None:
    ending = alone("await_long", timeout_ms=20)[0].run(taken_of("n", {"data": 1}))
    assert (ending.outcome, ending.value) == ("failed", b"timed out after 20ms")
