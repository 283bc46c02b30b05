"""Every event in every state of the embedded server's life."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobd.daemon.embedded.server_life import ServerLife, ServerState
from jobd.daemon.processes.restarts import FIRST_DELAY_S, HEALTHY_S

OFF, STARTING, UP = ServerState.OFF, ServerState.STARTING, ServerState.UP
DOWN, RESTARTING, STOPPING = ServerState.DOWN, ServerState.RESTARTING, ServerState.STOPPING

EVENTS: dict[str, Callable[[ServerLife], object]] = {
    "start asked": ServerLife.start_asked,
    "answered": lambda life: life.answered(100.0),
    "start failed": ServerLife.start_failed,
    "died": lambda life: life.died(100.0),
    "pause over": ServerLife.pause_over,
    "stop asked": ServerLife.stop_asked,
    "stopped": ServerLife.stopped,
}

WAY = {
    OFF: (),
    STARTING: ("start asked",),
    UP: ("start asked", "answered"),
    DOWN: ("start asked", "answered", "died"),
    RESTARTING: ("start asked", "answered", "died", "pause over"),
    STOPPING: ("start asked", "answered", "stop asked"),
}
"""How each state is come to."""

TABLE: dict[str, dict[ServerState, ServerState]] = {
    # Only what changes the state; any other event leaves it.
    "start asked": {OFF: STARTING},
    "answered": {STARTING: UP, RESTARTING: UP},
    "start failed": {STARTING: OFF, RESTARTING: DOWN},
    "died": {UP: DOWN},
    "pause over": {DOWN: RESTARTING},
    "stop asked": {STARTING: STOPPING, UP: STOPPING, DOWN: STOPPING, RESTARTING: STOPPING},
    "stopped": {STOPPING: OFF},
}


def at(state: ServerState) -> ServerLife:
    life = ServerLife()
    for event in WAY[state]:
        EVENTS[event](life)
    assert life.state is state
    return life


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", ServerState)
def test_every_event_in_every_state(state: ServerState, event: str) -> None:
    life = at(state)
    told = EVENTS[event](life)
    assert life.state is TABLE[event].get(state, state)
    if event in {"start asked", "answered", "stop asked"}:
        assert told is (state in TABLE[event])  # whether there is something to be done for it


def test_after_one_death_it_is_started_at_once_and_while_it_keeps_dying_ever_later() -> None:
    life = at(DOWN)
    pauses = [life.pause_s]
    for _ in range(3):
        life.pause_over()
        life.start_failed()
        pauses.append(life.pause_s)
    assert pauses == [0.0, FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]


def test_a_server_that_was_up_for_long_is_started_at_once_when_it_dies() -> None:
    life = at(RESTARTING)
    life.start_failed()
    life.pause_over()
    life.answered(100.0)
    life.died(100.0 + HEALTHY_S)
    assert life.pause_s == 0.0
