"""How the page writes what it shows."""

from __future__ import annotations

import pytest

from jobd.web import formats
from jobd.web.filters import Wanted


def test_control_characters_and_turned_writing_are_shown_as_escapes() -> None:
    assert formats.shown("a\x1b[31mb\u202ec\r") == "a\\x1b[31mb\\u202ec\\x0d".replace("\\x0d", "\\r")
    assert formats.shown("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert formats.shown("half \ud800 a pair") == "half \ufffd a pair"


def test_each_part_of_a_path_is_escaped() -> None:
    assert formats.path("queues", "a/b c", "jobs", "1?x#y") == "/queues/a%2Fb%20c/jobs/1%3Fx%23y"


@pytest.mark.parametrize(("value", "shown"), [(None, "?"), (0, "0"), (999, "999"), (1234567, "1\u202f234\u202f567")])
def test_counts(value: int | None, shown: str) -> None:
    assert formats.count(value) == shown


@pytest.mark.parametrize("at_ms", [1e300, -1e300, 10**17])
def test_moments_beyond_the_calendar_are_shown(at_ms: float) -> None:
    assert formats.moment(at_ms)
    assert formats.iso(at_ms) == ""


def test_filters_go_into_the_address_and_back() -> None:
    wanted = Wanted(state="failed", error="*a&b*", since="1h")
    address = wanted.address("mail")
    assert address == "/queues/mail/jobs?state=failed&error=%2Aa%26b%2A&since=1h"
    assert wanted.params() == {"state": "failed", "error": "*a&b*", "since_ms": 3_600_000}
    assert wanted.narrow
    assert not wanted.only_state


def test_all_that_match_without_a_filter_is_all() -> None:
    assert Wanted().choice("mail") == {"queue": "mail", "all": True}
    assert Wanted(id="7").choice("mail") == {"queue": "mail", "ids": ["7"]}


def test_a_long_reason_is_shown_by_the_beginning_of_its_first_line_that_says_something() -> None:
    assert formats.first_line("\n  \nno such host\nmore") == "no such host"
    assert formats.first_line("x" * 300) == "x" * 199 + "…"
    assert formats.first_line(None) == ""
