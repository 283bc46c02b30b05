"""JSON by an encoder that is made once says what json.dumps would say."""

from __future__ import annotations

import json
import math
from enum import IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobd.engine.compact_json import compact

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none() | st.booleans(), inner),
)


class Word(StrEnum):
    A = "a"


class Number(IntEnum):
    ONE = 1


def usual(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@given(VALUES)
def test_it_writes_what_json_writes(value: object) -> None:
    assert compact()(value) == usual(value)


def test_enums_tuples_and_half_surrogates_too() -> None:
    value = {"w": Word.A, "n": Number.ONE, "t": (1, 2), "s": "\ud800", Number.ONE: 1}
    assert compact()(value) == usual(value)


@pytest.mark.parametrize("value", [math.nan, [math.inf], {(1, 2): 3}, {1, 2}])
def test_it_refuses_what_json_refuses_and_works_on(value: object) -> None:
    encode = compact()
    with pytest.raises((ValueError, TypeError)):
        encode({"around": value})
    assert encode({"around": [1]}) == '{"around":[1]}'


def test_what_contains_itself_is_refused_and_whole_again_afterwards() -> None:
    encode, circle = compact(), list[object]()
    circle.append(circle)
    with pytest.raises(RecursionError):
        encode(circle)
    circle.clear()
    assert encode([circle, circle]) == "[[],[]]"


def test_the_default_is_asked_for_what_json_does_not_know() -> None:
    assert compact(default=sorted)({"s": {2, 1}}) == '{"s":[1,2]}'


def test_it_does_without_the_encoder_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert compact()({"a": [1, "é"]}) == '{"a":[1,"é"]}'
