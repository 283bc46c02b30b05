from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobd.daemon.control.params import Params
from jobd.daemon.control.queue_methods import _which
from jobd.protocol.control import BadParams


@pytest.mark.parametrize(
    ("take", "good", "bad"),
    [
        (lambda p: p.text("x"), ["a", "é"], [None, "", 5, True, [], {}, "\ud800"]),
        (lambda p: p.optional_text("x"), ["a", "", None], [5, False, ["a"], "\udfff"]),
        (lambda p: p.flag("x"), [True, False, None], [0, 1, "true", []]),
        (lambda p: p.milliseconds("x"), [0, 1, 10**9, None], [-1, 1.5, True, "5s", 10**30]),
        (lambda p: p.count("x"), [1, 5, None], [0, -1, 1.0, True, "1", 2**31]),
        (lambda p: p.texts("x"), [[], ["a"], None], ["a", [1], [None], {}, ["\ud800"]]),
        (lambda p: p.choice("x", "live", "ready"), ["live", None], ["dead", 5, ["live"], ""]),
        (lambda p: p.scale("x"), ["5", "+1", "-1", "0", None], [5, "", "five", "1.5", "--1", "٣", "1234567", "1\n"]),
        (lambda p: p.table("x"), [{}, {"a": 1}, None], [[], "a", 5]),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_named(take: Callable[[Params], Any], good: list[Any], bad: list[Any]) -> None:
    for value in good:
        params = Params({"x": value})
        take(params)
        params.done()
    for value in bad:
        with pytest.raises(BadParams) as caught:
            take(Params({"x": value}))
        assert caught.value.param == "x"
        assert str(caught.value).startswith("x: ")


def test_an_unknown_parameter_is_refused_with_the_nearest_known() -> None:
    params = Params({"quue": "email"})
    params.optional_text("queue")
    with pytest.raises(BadParams, match="quue: unknown parameter; did you mean queue"):
        params.done()


def test_a_method_without_parameters_says_so() -> None:
    with pytest.raises(BadParams, match="it takes none"):
        Params({"zzz": 1}).done()


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
        _which(Params({"queue": "email", **given}))


def test_a_bulk_method_takes_ids_filters_or_all() -> None:
    assert _which(Params({"queue": "email", "ids": ["1"], "dry_run": True}))[1]["dry_run"] is True
    assert _which(Params({"queue": "email", "all": True}))[1]["selection"].state is None
    assert _which(Params({"queue": "email", "state": "failed"}))[1]["selection"].state == "failed"
