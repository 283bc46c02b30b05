"""The fetch policy's states: what it does next in each, with one turn under way and with two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from jobd.daemon.health import FETCH_LIMIT_S
from jobd.engine.job import TurnReply
from jobd.worker.fetch.fetch_policy import HALVES_FROM, FetchPolicy, Link, Order, Step, Supply


@dataclass
class Load:
    """What the slots show."""

    concurrency: int = 40
    running: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    suspects: int = 0
    taking_from: float = 0.0
    slots_left: int = 1024

    @property
    def free(self) -> int:
        return max(0, self.concurrency - len(self.running))


def policy(load: Load, *, supply: Supply = Supply.LIKELY, order: Order = Order.TAKE, turns: int = 0) -> FetchPolicy:
    """A policy whose connection is open, with so many turns under way that carry and take nothing."""
    made = FetchPolicy(load)
    made.resized(load.concurrency)
    made.recovered()
    made.ordered(order)
    made.supply = supply
    for _ in range(turns):
        made.turn_sent(0, 0)
    return made


def jobs(count: int) -> list[int]:
    return list(range(count))


@pytest.mark.parametrize(
    ("running", "ended", "turns", "supply", "step"),
    [
        (0, 0, 0, Supply.LIKELY, Step.SEND),
        (0, 0, 0, Supply.NONE, Step.SLEEP),
        (40, 0, 0, Supply.LIKELY, Step.SLEEP),
        (39, 1, 0, Supply.NONE, Step.SEND),
        (39, 1, 1, Supply.LIKELY, Step.READ),
        (21, 19, 1, Supply.LIKELY, Step.READ),
        (20, 20, 1, Supply.LIKELY, Step.SEND),
        (20, 20, 1, Supply.NONE, Step.SEND),
        (0, 40, 2, Supply.LIKELY, Step.READ),
        (0, 0, 2, Supply.NONE, Step.READ),
    ],
)
def test_a_second_turn_leaves_once_half_of_the_slots_have_news(running, ended, turns, supply, step):
    load = Load(running=jobs(running), ended=jobs(ended))
    assert policy(load, supply=supply, turns=turns).next_step() is step


@pytest.mark.parametrize("concurrency", [1, 2, HALVES_FROM - 1])
def test_few_slots_have_one_turn_under_way_as_ever(concurrency):
    load = Load(concurrency, ended=jobs(concurrency))
    assert policy(load, turns=1).next_step() is Step.READ
    assert not policy(load, turns=1).sends_another()


def test_a_resize_decides_anew_whether_halves_are_worth_a_turn():
    load = Load(1, ended=jobs(20))
    machine = policy(load, turns=1)
    machine.resized(40)
    assert machine.next_step() is Step.SEND
    machine.resized(HALVES_FROM - 1)
    assert machine.next_step() is Step.READ


def test_what_two_turns_may_bring_counts_against_the_concurrency():
    load = Load(running=jobs(10))
    machine = policy(load)
    machine.turn_sent(20, 20)
    assert machine.room() == 10
    machine.turn_sent(5, 10)
    assert (machine.room(), machine.busy(), machine.is_taking) == (0, 40, True)
    machine.turn_answered(20, 20)
    assert (machine.room(), machine.busy(), machine.is_taking) == (20, 20, True)
    load.running = jobs(30)
    assert machine.room() == 0
    machine.turn_answered(5, 10)
    assert (machine.room(), machine.is_taking) == (10, False)


def test_results_under_way_leave_their_slots_to_what_comes_behind_them():
    load = Load(1000, running=jobs(24), slots_left=200)
    machine = policy(load)
    machine.turn_sent(300, 300)
    assert machine.room(200) == 400
    assert machine.room(0) == 200


def test_a_turn_that_may_bring_a_suspect_has_no_other_take_beside_it():
    load = Load()
    machine = policy(load)
    machine.turn_sent(0, machine.room())
    assert machine.room() == 0
    load.ended = jobs(20)
    assert machine.next_step() is Step.SEND
    machine.turn_sent(20, machine.room(20))
    machine.turn_answered(0, 40)
    load.suspects, load.running, load.ended = 1, [1], []
    machine.took(TurnReply([], []), 40)
    assert (machine.room(), machine.may_take()) == (0, False)


@pytest.mark.parametrize("order", [Order.QUIET, Order.END])
def test_told_to_stop_taking_it_reads_both_turns_and_takes_nothing_more(order):
    load = Load(running=jobs(20), ended=jobs(20))
    machine = policy(load, order=order, turns=1)
    assert (machine.next_step(), machine.room(20)) == (Step.SEND, 0)
    machine.turn_sent(20, 0)
    load.ended = []
    assert machine.next_step() is Step.READ
    machine.turn_answered(0, 0)
    assert machine.next_step() is Step.READ
    machine.turn_answered(20, 0)
    assert machine.next_step() is Step.SLEEP
    load.running = []
    assert machine.next_step() is (Step.END if order is Order.END else Step.SLEEP)


def test_the_last_look_says_whether_there_may_be_more():
    machine = policy(Load(running=jobs(1)))
    machine.turn_sent(0, 10)
    machine.turn_sent(0, 10)
    machine.turn_answered(0, 10)
    machine.took(TurnReply([], [], limited_ms=500), 10)
    assert machine.supply is Supply.LIMITED
    assert not machine.wants_marker()
    machine.turn_answered(0, 10)
    machine.took(TurnReply([], []), 10)
    assert machine.supply is Supply.NONE
    assert machine.wants_marker()


def test_a_limit_that_lasts_long_is_asked_about_before_the_queue_counts_as_not_served():
    machine = policy(Load())
    machine.turn_sent(0, 10)
    machine.turn_answered(0, 10)
    machine.took(TurnReply([], [], limited_ms=3_600_000), 10)
    assert machine.next_step() is Step.SLEEP
    rest = machine.limit_s()
    assert rest is not None
    assert 0 < rest < FETCH_LIMIT_S - 2


def test_no_marker_is_wanted_while_a_turn_may_bring_jobs():
    machine = policy(Load(), supply=Supply.NONE)
    machine.turn_sent(0, 10)
    assert not machine.wants_marker()
    machine.turn_answered(0, 10)
    assert machine.wants_marker()


def test_what_both_lost_turns_held_is_forgotten_and_looked_for():
    load = Load(running=jobs(10))
    machine = policy(load)
    machine.turn_sent(20, 20)
    machine.turn_sent(10, 10)
    machine.connection_lost(unsettled=True)
    assert (machine.next_step(), machine.turns, machine.busy(), machine.room()) == (Step.RECOVER, 0, 10, 0)
    machine.recovered()
    assert (machine.next_step(), machine.room()) == (Step.SEND, 30)


def test_an_end_waits_for_lost_results_but_not_for_what_a_lost_take_brought():
    for unsettled, over in ((True, False), (False, True)):
        machine = policy(Load(), order=Order.END, turns=2)
        machine.connection_lost(unsettled=unsettled)
        assert machine.is_over() is over


@pytest.mark.parametrize("under_way", ["turn", "late", "running", "ended", "notes"])
def test_nothing_is_sent_ahead_while_anything_is_in_hand(under_way):
    load = Load()
    machine = policy(load, supply=Supply.NONE)
    assert machine.ahead_size() == 40
    changes: dict[str, Any] = {"running": [1], "ended": [1], "notes": ["x"]}
    if under_way in changes:
        setattr(load, under_way, changes[under_way])
    elif under_way == "turn":
        machine.turn_sent(0, 0)
    else:
        machine.came_late(1)
    assert machine.ahead_size() == 0


def test_beside_a_turn_sent_ahead_nothing_is_taken_and_a_look_makes_it_run():
    machine = policy(Load(), supply=Supply.NONE)
    machine.ahead_sent(machine.ahead_size())
    assert (machine.room(), machine.next_step()) == (0, Step.SLEEP)
    machine.look_again()
    assert machine.next_step() is Step.UNBLOCK
    machine.ahead_is_due()
    assert machine.ahead_answered() == 40


def test_a_closed_connection_is_opened_again_without_a_recovery_only_when_nothing_was_under_way():
    machine = policy(Load(), supply=Supply.NONE)
    machine.connection_closed()
    assert (machine.link, machine.next_step()) == (Link.CLOSED, Step.REOPEN)
    assert machine.reopened()
    assert machine.next_step() is Step.SLEEP
    busy = policy(Load(), turns=1)
    busy.connection_closed()
    assert busy.next_step() is Step.READ


def test_a_turn_sent_ahead_that_is_lost_while_the_connection_is_opened_again_is_looked_for():
    machine = policy(Load(), supply=Supply.NONE)
    machine.connection_closed()
    machine.connection_lost(unsettled=False)
    assert not machine.reopened()
    assert (machine.link, machine.next_step()) == (Link.LOST, Step.RECOVER)
