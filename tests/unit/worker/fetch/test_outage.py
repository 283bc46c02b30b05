"""An outage is told once, and its end once; a server that moved is left before anybody is told; pauses before a try."""

from __future__ import annotations

import pytest

from jobd.engine.trouble import Trouble
from jobd.errors import JobdError, RedisRefused, RedisUnavailable
from jobd.worker.fetch.outage import Contact, Outage, ReconnectDelay

GONE = RedisUnavailable("gone", trouble=Trouble.AWAY)
READ_ONLY = RedisRefused("READONLY", trouble=Trouble.READ_ONLY)
MOVED = RedisUnavailable("MOVED", trouble=Trouble.MOVED)
FULL = RedisRefused("OOM", trouble=Trouble.MEMORY_FULL)

STAYS = "nobody is told"
DOWN = "told: down"
UP = "told: up"

LOST = [
    # how Redis was met last, what a turn met, how it is then, what is told
    (Contact.THERE, GONE, Contact.AWAY, DOWN),
    (Contact.THERE, FULL, Contact.AWAY, DOWN),
    (Contact.THERE, READ_ONLY, Contact.MOVED, STAYS),
    (Contact.THERE, MOVED, Contact.MOVED, STAYS),
    (Contact.MOVED, GONE, Contact.AWAY, DOWN),
    (Contact.MOVED, FULL, Contact.AWAY, DOWN),
    (Contact.MOVED, READ_ONLY, Contact.AWAY, DOWN),
    (Contact.MOVED, MOVED, Contact.MOVED, STAYS),
    (Contact.AWAY, GONE, Contact.AWAY, STAYS),
    (Contact.AWAY, FULL, Contact.AWAY, STAYS),
    (Contact.AWAY, READ_ONLY, Contact.AWAY, STAYS),
    (Contact.AWAY, MOVED, Contact.AWAY, STAYS),
    (Contact.ASKED, GONE, Contact.AWAY, STAYS),
    (Contact.ASKED, FULL, Contact.AWAY, STAYS),
    (Contact.ASKED, READ_ONLY, Contact.AWAY, STAYS),
    (Contact.ASKED, MOVED, Contact.ASKED, STAYS),
]


class Witness:
    """The daemon: what it was told, and how often."""

    def __init__(self) -> None:
        self.told: list[tuple[bool, str | None, str | None]] = []

    def report(self, up: bool, why: str | None, trouble: str | None) -> None:
        self.told.append((up, why, trouble))


def at(contact: Contact) -> tuple[Outage, Witness]:
    """An outage in that state, and its witness, who has forgotten how it came there."""
    witness = Witness()
    outage = Outage(witness.report)
    if contact is Contact.MOVED:
        outage.turn_lost(READ_ONLY)
    elif contact is Contact.AWAY:
        outage.turn_lost(GONE)
    elif contact is Contact.ASKED:
        outage.turn_lost(FULL)
        outage.recovered(asks=True)
    assert outage.contact is contact
    witness.told.clear()
    return outage, witness


@pytest.mark.parametrize(("before", "error", "after", "told"), LOST)
def test_a_turn_that_is_lost(before: Contact, error: JobdError, after: Contact, told: str) -> None:
    outage, witness = at(before)
    outage.turn_lost(error)
    assert outage.contact is after
    assert [up for up, _, _ in witness.told] == ([False] if told == DOWN else [])


@pytest.mark.parametrize(
    ("before", "told"), [(Contact.THERE, DOWN), (Contact.MOVED, DOWN), (Contact.AWAY, STAYS), (Contact.ASKED, STAYS)]
)
def test_a_try_that_fails_is_an_outage_told_once(before: Contact, told: str) -> None:
    outage, witness = at(before)
    outage.try_failed(GONE)
    outage.try_failed(GONE)
    assert outage.contact is Contact.AWAY
    assert witness.told == ([(False, "gone", Trouble.AWAY)] if told == DOWN else [])


@pytest.mark.parametrize(("before", "told"), [(Contact.THERE, STAYS), (Contact.MOVED, STAYS), (Contact.AWAY, UP)])
def test_the_end_is_told_to_those_who_heard_of_the_outage(before: Contact, told: str) -> None:
    outage, witness = at(before)
    outage.recovered(asks=True)
    assert outage.contact is Contact.THERE
    assert witness.told == ([(True, None, None)] if told == UP else [])


def test_the_end_of_refusals_is_told_when_a_turn_was_answered() -> None:
    outage, witness = at(Contact.ASKED)
    for _ in range(3):
        outage.turn_lost(FULL)
        outage.recovered(asks=True)
    assert (outage.contact, witness.told) == (Contact.ASKED, [])
    outage.turn_answered()
    assert (outage.contact, witness.told) == (Contact.THERE, [(True, None, None)])


def test_the_end_of_refusals_is_told_at_once_by_a_worker_that_asks_for_nothing() -> None:
    outage, witness = at(Contact.ASKED)
    outage.turn_lost(FULL)
    outage.recovered(asks=False)
    assert (outage.contact, witness.told) == (Contact.THERE, [(True, None, None)])


def test_redis_that_is_away_at_the_start_is_told_by_the_workers_ready_and_its_return_by_a_report() -> None:
    witness = Witness()
    outage = Outage(witness.report)
    outage.not_there_at_start(GONE)
    assert (outage.contact, witness.told) == (Contact.AWAY, [])
    outage.recovered(asks=True)
    assert witness.told == [(True, None, None)]


def test_a_server_that_moved_twice_with_work_done_between_is_no_outage() -> None:
    outage, witness = at(Contact.MOVED)
    outage.recovered(asks=True)
    outage.turn_answered()
    outage.turn_lost(READ_ONLY)
    assert (outage.contact, witness.told) == (Contact.MOVED, [])


def test_redis_that_is_away_is_tried_at_once_and_then_a_few_times_a_second() -> None:
    delay = ReconnectDelay()
    delay.failed(GONE)
    assert [delay.next_s() for _ in range(7)] == [
        *ReconnectDelay.PAUSES_S,
        ReconnectDelay.PAUSES_S[-1],
        ReconnectDelay.PAUSES_S[-1],
    ]


def test_redis_that_refuses_turn_after_turn_is_asked_once_a_second() -> None:
    delay = ReconnectDelay()
    delay.failed(FULL)
    assert delay.next_s() == 0.0
    delay.failed(FULL)
    assert delay.next_s() == ReconnectDelay.REFUSED_S


def test_turn_that_worked_is_a_new_beginning() -> None:
    delay = ReconnectDelay()
    for _ in range(3):
        delay.failed(FULL)
        delay.next_s()
    delay.worked()
    assert delay.next_s() == 0.0
