from __future__ import annotations

from typing import Any

import pytest

from jobd.operations.params.jobs import Which
from jobd.operations.params.kinds import (
    Count,
    Flag,
    MaybeText,
    Milliseconds,
    Nothing,
    Params,
    Probe,
    Scale,
    Table,
    Text,
    Texts,
)
from jobd.operations.params.queues import OneQueue
from jobd.operations.params.reading import read_params
from jobd.protocol.control import BadParams


class Given(Params):
    text: Text = "x"
    maybe: MaybeText = None
    flag: Flag = False
    ms: Milliseconds = None
    count: Count = None
    texts: Texts = []  # noqa: RUF012
    probe: Probe = None
    scale: Scale = None
    table: Table = {}  # noqa: RUF012


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("text", ["a", "é"], ["", 5, True, [], {}, "\ud800"]),
        ("maybe", ["a", "", None], [5, False, ["a"], "\udfff"]),
        ("flag", [True, False, None], [0, 1, "true", []]),
        ("ms", [0, 1, 10**9, None], [-1, 1.5, True, "5s", 10**30, 10**400]),
        ("count", [1, 5, None], [0, -1, 1.0, True, "1", 2**31]),
        ("texts", [[], ["a"], None], ["a", [1], [None], {}, ["\ud800"]]),
        ("probe", ["live", None], ["dead", 5, ["live"], ""]),
        (
            "scale",
            ["5", "+1", "-1", "0", 5, 0, None],
            [-1, True, 5.0, 10**7, 10**400, "", "five", "1.5", "--1", "٣", "1234567", "1\n"],
        ),
        ("table", [{}, {"a": 1}, None], [[], "a", 5]),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_named(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert read_params(Given, {name: value}) is not None
    for value in bad:
        with pytest.raises(BadParams) as caught:
            read_params(Given, {name: value})
        assert caught.value.param == name
        assert str(caught.value).startswith(f"{name}: ")
        assert len(str(caught.value)) < 200


def test_what_is_expected_and_what_came_is_told() -> None:
    for given, told in (
        ({}, "queue: is missing"),
        ({"queue": None}, "queue: is missing"),
        ({"queue": ""}, "queue: expected text, got an empty one"),
        ({"queue": 5}, "queue: expected text, got 5"),
        ({"queue": [1]}, "queue: expected text, got a list"),
        ({"queue": "\ud800"}, "queue: expected text, got half of a surrogate pair"),
    ):
        with pytest.raises(BadParams) as caught:
            read_params(OneQueue, given)
        assert str(caught.value) == told


def test_an_unknown_parameter_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(BadParams, match="quue: unknown parameter; did you mean queue"):
        read_params(OneQueue, {"quue": "email"})


def test_a_method_without_parameters_says_so() -> None:
    with pytest.raises(BadParams, match="it takes none"):
        read_params(Nothing, {"zzz": 1})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"all": False},
        {"ids": []},
        {"ids": ["1"], "all": True},
        {"ids": ["1"], "name": "x"},
        {"all": True, "state": "failed"},
    ],
)
def test_a_bulk_method_never_takes_nothing_said_for_all(given: dict[str, Any]) -> None:
    with pytest.raises(BadParams, match="ids: "):
        read_params(Which, {"queue": "email", **given})


def test_a_bulk_method_takes_ids_filters_or_all() -> None:
    assert read_params(Which, {"queue": "email", "ids": ["1"], "dry_run": True}).dry_run
    assert read_params(Which, {"queue": "email", "all": True}).selection().state is None
    assert read_params(Which, {"queue": "email", "state": "failed"}).selection().state == "failed"
