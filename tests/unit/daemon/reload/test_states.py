"""Every event in every state of a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobd.daemon.reload.states import ReloadCourse, ReloadState

READING, PLANNING, CHECKING = ReloadState.READING, ReloadState.PLANNING, ReloadState.CHECKING
TRIAL, APPLYING, DONE = ReloadState.TRIAL, ReloadState.APPLYING, ReloadState.DONE
REFUSED, ROLLED_BACK, CALLED_OFF = ReloadState.REFUSED, ReloadState.ROLLED_BACK, ReloadState.CALLED_OFF
CUT_SHORT, UNFINISHED = ReloadState.CUT_SHORT, ReloadState.UNFINISHED

STEPS: dict[str, Callable[[ReloadCourse], None]] = {
    "read": ReloadCourse.read,
    "planned": lambda course: course.planned(changes=True),
    "nothing to do": lambda course: course.planned(changes=False),
    "imported": ReloadCourse.imported,
    "tried": ReloadCourse.tried,
    "replaced": ReloadCourse.replaced,
}
ANY_TIME: dict[str, Callable[[ReloadCourse], object]] = {"failed": ReloadCourse.failed, "stop": ReloadCourse.stop_came}
EVENTS = {**STEPS, **ANY_TIME}

WAY: dict[ReloadState, tuple[str, ...]] = {
    READING: (),
    PLANNING: ("read",),
    CHECKING: ("read", "planned"),
    TRIAL: ("read", "planned", "imported"),
    APPLYING: ("read", "planned", "imported", "tried"),
    DONE: ("read", "nothing to do"),
    REFUSED: ("failed",),
    ROLLED_BACK: ("read", "planned", "imported", "failed"),
    CALLED_OFF: ("stop",),
    CUT_SHORT: ("read", "planned", "imported", "tried", "stop"),
    UNFINISHED: ("read", "planned", "imported", "tried", "failed"),
}
"""How each state is come to."""

TABLE: dict[str, dict[ReloadState, ReloadState]] = {
    "read": {READING: PLANNING},
    "planned": {PLANNING: CHECKING},
    "nothing to do": {PLANNING: DONE},
    "imported": {CHECKING: TRIAL},
    "tried": {TRIAL: APPLYING},
    "replaced": {APPLYING: DONE},
    "failed": {
        READING: REFUSED, PLANNING: REFUSED, CHECKING: REFUSED, TRIAL: ROLLED_BACK, APPLYING: UNFINISHED,
    },
    "stop": {
        READING: CALLED_OFF, PLANNING: CALLED_OFF, CHECKING: CALLED_OFF, TRIAL: CALLED_OFF, APPLYING: CUT_SHORT,
    },
}  # fmt: skip
"""What changes the state. A step that is not here is a mistake; a failure or a stop that is not changes nothing."""


def at(state: ReloadState) -> ReloadCourse:
    course = ReloadCourse()
    for event in WAY[state]:
        EVENTS[event](course)
    assert course.state is state
    return course


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", ReloadState)
def test_every_event_in_every_state(state: ReloadState, event: str) -> None:
    course = at(state)
    if event in STEPS and state not in TABLE[event]:
        with pytest.raises(AssertionError):
            EVENTS[event](course)
        assert course.state is state
        return
    told = EVENTS[event](course)
    assert course.state is TABLE[event].get(state, state)
    if event == "stop":
        assert told is not state.is_end  # else there is nothing to end


@pytest.mark.parametrize("state", ReloadState)
def test_only_what_was_applied_is_in_force(state: ReloadState) -> None:
    assert state.is_in_force is (state in (APPLYING, DONE, CUT_SHORT, UNFINISHED))
    assert state.is_stopped is (state in (CALLED_OFF, CUT_SHORT))
