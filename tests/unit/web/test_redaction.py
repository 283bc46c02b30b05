"""What `[web] hide` names is nowhere: in data at any depth, in text that holds it, in text that repeats its value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobd.web.redaction import STARS, Redaction, put_back

HIDDEN = Redaction(("password", "*token*"))


def test_members_are_hidden_at_any_depth_and_in_any_case() -> None:
    data = {"user": {"Password": "a", "n": 1}, "list": [{"apiTokenOld": {"deep": 1}}, "plain"], "passwords": "stays"}
    assert HIDDEN.data(data) == {
        "user": {"Password": STARS, "n": 1}, "list": [{"apiTokenOld": STARS}, "plain"], "passwords": "stays",
    }  # fmt: skip


def test_json_inside_a_text_is_gone_through() -> None:
    assert "hunter2" not in json.dumps(HIDDEN.data({"body": json.dumps({"password": "hunter2", "a": [1, 2]})}))


@pytest.mark.parametrize(
    "text",
    [
        'password=hunter2 and more',
        "{'password': 'hunter2', 'user': 7}",
        '{"user": 7, "password": "hunter2"}',
        '{"password":"hun\\"ter2"}',
        "user.password: hunter2",
        '{"accessToken": {"value": "hunter2"}, "b": 1}',
        '{"refresh_token": ["hunter2", "x"]}',
        json.dumps(json.dumps({"password": "hunter2"})),
        "data={'user': {'token': 'hunter2'}}",
        "password => hunter2",
        'PASSWORD="hunter2',
    ],
)  # fmt: skip
def test_a_hidden_name_in_a_text_hides_what_follows_it(text: str) -> None:
    shown = HIDDEN.text(text)
    assert "ter2" not in shown
    assert STARS in shown


@pytest.mark.parametrize(
    "text", ["user=7, name: Ann", "no pair here", "a = b", "http://host:80/x?y=1", "12:30:01 done"]
)
def test_other_text_stays(text: str) -> None:
    assert HIDDEN.text(text) == text


def test_a_value_that_the_data_hides_is_hidden_wherever_it_is_repeated() -> None:
    data = {"password": "hunter2", "nested": {"token": {"a": 'qu"oted', "n": 12345}}}
    values = HIDDEN.values(data)
    text = HIDDEN.text('it was hunter2, then qu"oted as qu\\"oted, then 12345', values)
    assert text == "it was ***, then *** as ***, then ***"


def test_short_values_are_not_looked_for() -> None:
    assert HIDDEN.values({"password": "7", "token": True}) == []


def test_without_globs_nothing_changes() -> None:
    data = {"password": "hunter2"}
    assert Redaction().data(data) is data
    assert Redaction().text("password=hunter2", ["hunter2"]) == "password=hunter2"


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ({"password": STARS, "n": 2}, {"password": "hunter2", "n": 2}),
        ({"password": "new"}, {"password": "new"}),
        ({"deep": [{"token": STARS}]}, {"deep": [{"token": 1}]}),
        ({"note": STARS}, {"note": STARS}),
        ({"why": "it is ***", "n": 2}, {"why": "it is hunter2", "n": 2}),
        ({"why": "it was ***"}, {"why": "it was ***"}),
        ({"deep": [{"token": STARS}, {"new": 1}]}, {"deep": [{"token": 1}, {"new": 1}]}),
        ({"deep": []}, {"deep": []}),
    ],
)
def test_stars_that_were_left_alone_keep_their_value(edited: Any, expected: Any) -> None:
    original = {"password": "hunter2", "n": 1, "deep": [{"token": 1}], "why": "it is hunter2"}
    assert put_back(edited, original, HIDDEN, HIDDEN.values(original)) == expected


def test_stars_for_what_the_original_does_not_have_are_refused() -> None:
    with pytest.raises(KeyError):
        put_back({"token": STARS}, {}, HIDDEN, [])
