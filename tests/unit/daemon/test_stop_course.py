"""Every event in every state of a daemon's stop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobd.daemon.stopping import StopCourse, StopState

NONE, WAITING, ENDING = StopState.NONE, StopState.WAITING, StopState.ENDING
HANDING_BACK, STOPPED, ABANDONED = StopState.HANDING_BACK, StopState.STOPPED, StopState.ABANDONED

DEADLINE = 100.0

EVENTS: dict[str, Callable[[StopCourse], object]] = {
    "asked": lambda course: course.asked(DEADLINE, hurries=False),
    "jobs done": lambda course: course.waits(0.0, workers=False, running=False, redis_down=False),
    "grace over": lambda course: course.waits(DEADLINE, workers=True, running=True, redis_down=False),
    "only redis missing": lambda course: course.waits(0.0, workers=True, running=False, redis_down=True),
    "killed": StopCourse.killed,
    "workers gone": StopCourse.workers_gone,
    "handed back": StopCourse.handed_back,
    "abandoned": StopCourse.abandoned,
}

WAY = {
    NONE: (),
    WAITING: ("asked",),
    ENDING: ("asked", "grace over"),
    HANDING_BACK: ("asked", "grace over", "workers gone"),
    STOPPED: ("asked", "grace over", "workers gone", "handed back"),
    ABANDONED: ("abandoned",),
}
"""How each state is come to."""

TABLE: dict[str, dict[StopState, StopState]] = {
    # Only what changes the state; any other event leaves it.
    "asked": {NONE: WAITING},
    "jobs done": {WAITING: ENDING},
    "grace over": {WAITING: ENDING},
    "only redis missing": {WAITING: ENDING},
    "killed": {WAITING: ENDING},
    "workers gone": {ENDING: HANDING_BACK},
    "handed back": {HANDING_BACK: STOPPED},
    "abandoned": {state: ABANDONED for state in StopState if state is not STOPPED},
}


def at(state: StopState) -> StopCourse:
    course = StopCourse()
    for event in WAY[state]:
        EVENTS[event](course)
    assert course.state is state
    return course


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", StopState)
def test_every_event_in_every_state(state: StopState, event: str) -> None:
    course = at(state)
    told = EVENTS[event](course)
    assert course.state is TABLE[event].get(state, state)
    if event == "asked":
        assert told is (state is NONE)  # only the first call begins a stop


@pytest.mark.parametrize(("running", "redis_down"), [(True, False), (True, True), (False, False)])
def test_until_the_deadline_a_worker_is_waited_for(running: bool, redis_down: bool) -> None:
    # One that runs nothing still sends its results; that only fails to end when Redis is away.
    course = at(WAITING)
    assert course.waits(DEADLINE - 0.1, workers=True, running=running, redis_down=redis_down)
    assert course.state is WAITING


@pytest.mark.parametrize(
    ("deadline", "hurries", "then"),
    [(50.0, True, 50.0), (200.0, True, DEADLINE), (50.0, False, DEADLINE)],
    ids=["shorter", "longer", "without a deadline of its own"],
)
def test_a_later_call_can_only_shorten_the_wait(deadline: float, hurries: bool, then: float) -> None:
    course = at(WAITING)
    assert not course.asked(deadline, hurries=hurries)
    assert course.deadline == then
