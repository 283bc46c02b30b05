"""What a producer may ask for, and how it is stored."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobd.engine.add_options import AddOptions
from jobd.engine.backoff import Backoff
from jobd.engine.options import OPTION_NAMES, check_job_id, check_queue_name, encode_data, new_job
from jobd.errors import InputError

NOW = 1_795_000_000_000


def opts(**options: Any) -> dict[str, Any]:
    return new_job("n", {}, options, now_ms=NOW).opts


def test_a_job_without_options_is_stored_as_bullmq_stores_it() -> None:
    job = new_job("greet", {"hello": "wörld"}, now_ms=NOW)
    assert job.data == '{"hello":"wörld"}'.encode()
    assert (job.opts, job.timestamp, job.job_id, job.delay_ms, job.priority) == ({"attempts": 0}, NOW, None, 0, 0)


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({"attempts": 3}, {"attempts": 3}),
        ({"backoff": "5s"}, {"backoff": {"type": "fixed", "delay": 5000}}),
        ({"backoff": 0.5}, {"backoff": {"type": "fixed", "delay": 500}}),
        ({"backoff": Backoff.exponential("1s", jitter=0.5)},
         {"backoff": {"type": "exponential", "delay": 1000, "jitter": 0.5}}),
        ({"delay": "10s"}, {"delay": 10000}),
        ({"delay": 1.5}, {"delay": 1500}),
        ({"delay": 0}, {}),
        ({"priority": 5}, {"priority": 5}),
        ({"priority": 0}, {}),
        ({"job_id": "welcome-7"}, {"jobId": "welcome-7"}),
        ({"lifo": True}, {"lifo": True}),
        ({"lifo": False}, {}),
        ({"deduplicate": "user-7"}, {"de": {"id": "user-7"}}),
        ({"deduplicate": {"id": "d", "ttl": "5s", "extend": True, "replace": True, "keep_last_if_active": False}},
         {"de": {"id": "d", "ttl": 5000, "extend": True, "replace": True}}),
        ({"deduplicate": {"id": "d", "keep_last_if_active": True}}, {"de": {"id": "d", "keepLastIfActive": True}}),
        ({"keep_completed": 100}, {"removeOnComplete": 100}),
        ({"keep_completed": True}, {"removeOnComplete": False}),
        ({"keep_failed": False}, {"removeOnFail": True}),
        ({"keep_failed": {"count": 10, "age": "1h"}}, {"removeOnFail": {"count": 10, "age": 3600}}),
        ({"keep_logs": 5}, {"kl": 5}),
        ({"timestamp": NOW - 1}, {"timestamp": NOW - 1}),
        ({"size_limit": "1kB"}, {"sizeLimit": 1000}),
        ({"attempts": None, "delay": None, "job_id": None, "deduplicate": None, "parent": None}, {}),
    ],
)  # fmt: skip
def test_options_are_stored_under_bullmq_s_names(options: dict[str, Any], stored: dict[str, Any]) -> None:
    assert opts(**options) == {"attempts": 0} | stored


@pytest.mark.parametrize("length", ["3s", 3, 3.0, timedelta(seconds=3)])
def test_lengths_are_texts_seconds_or_timedeltas(length: Any) -> None:
    opts = new_job("n", {}, {"backoff": length, "delay": length}, now_ms=0).opts
    assert (opts["backoff"], opts["delay"]) == ({"type": "fixed", "delay": 3000}, 3000)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"priority": -1}, "priority"),
        ({"priority": 2_097_152}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"attempts": "3"}, "attempts"),
        ({"attempts": -1}, "attempts"),
        ({"backoff": "5"}, "backoff"),
        ({"backoff": object()}, "backoff"),
        ({"delay": "soon"}, "delay"),
        ({"delay": -1}, "delay"),
        ({"delay": math.nan}, "delay"),
        ({"delay": "7300d"}, "2039"),
        ({"timestamp": 2**53}, "timestamp"),
        ({"timestamp": "now"}, "timestamp"),
        ({"lifo": 1}, "lifo"),
        ({"deduplicate": ""}, "deduplicate"),
        ({"deduplicate": {}}, "deduplicate"),
        ({"deduplicate": 7}, "deduplicate"),
        ({"deduplicate": {"id": "d", "ttl": 0}}, "deduplicate.ttl"),
        ({"deduplicate": {"id": "d", "tll": 1}}, "tll"),
        ({"deduplicate": {"id": "d", "replace": True, "reschedule": True}}, "together"),
        ({"keep_completed": -1}, "keep_completed"),
        ({"keep_completed": {}}, "keep_completed"),
        ({"keep_failed": {"cuont": 1}}, "keep_failed"),
        ({"size_limit": 1}, "size_limit"),
        ({"size_limit": "9" * 400 + "MB"}, "expected a size"),
        ({"parent": {"id": "1", "queue": "q"}}, "parent: expected"),
        ({"parent": 7}, "parent: expected"),
        ({"parent": {"id": "1", "queue": "bull:q"}, "if_failed": "cry"}, "one of fail, continue, ignore, remove"),
        ({"parent": {"id": "1", "queue": "bull:q"}, "deduplicate": "d"}, "cannot be used together"),
        ({"if_failed": "fail"}, "this job has none"),
        ({"atempts": 3}, 'did you mean "attempts"'),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named.replace(".", r"\.")):
        opts(**options)


@pytest.mark.parametrize("job_id", ["01", "1.5", "a:b:c", "welcome-7", "x" * 300, "ü", "with space"])
def test_ids_that_bullmq_accepts(job_id: str) -> None:
    assert check_job_id(job_id) == job_id


@pytest.mark.parametrize(
    "job_id",
    [
        "1",
        "-5",
        "0",
        "",
        "0:1",
        "0:a:b",
        "a:b",
        "a:b:c:d",
        "meta",
        "wait",
        "de:a:b",
        "metrics:x:data",
        "\ud800",
        7,
        None,
    ],
)
def test_ids_that_would_do_harm_are_refused(job_id: Any) -> None:
    with pytest.raises(InputError):
        check_job_id(job_id)


@pytest.mark.parametrize("name", ["", "a:b", 7, None, "\udfff"])
def test_bad_queue_names_are_refused(name: Any) -> None:
    with pytest.raises(InputError):
        check_queue_name(name)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"user": [1, {2}]}, r"data\.user\[1\] is a set"),
        ({"a": {"b": object()}}, r"data\.a\.b is an object"),
        ({"rate": math.nan}, r"data\.rate is nan"),
        ([math.inf], r"data\[0\] is inf"),
        ({(1, 2): 3}, "data has a key that is a tuple"),
        (b"bytes", "data is a bytes"),
        ({math.nan: 1}, "data has a key that is nan"),
        ({"n": 10**5000}, r"data\.n is too large a number"),
        ({10**5000: 1}, "data has a key that is too large a number"),
    ],
)
def test_data_that_is_not_json_is_refused_with_its_place(data: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        encode_data(data)


def test_data_that_contains_itself_is_refused() -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(InputError, match="contains itself"):
        encode_data(data)


def test_data_nested_beyond_measure_is_refused() -> None:
    data: Any = 1
    for _ in range(100_000):
        data = [data]
    with pytest.raises(InputError, match="nested too deeply"):
        encode_data(data)


def test_lone_surrogates_are_escaped_as_javascript_does() -> None:
    assert encode_data({"x": "\ud83d"}) == b'{"x":"\\ud83d"}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_json_value_is_read_back_as_it_was(data: Any) -> None:
    assert json.loads(encode_data(data)) == data


def test_the_names_that_are_taken_are_those_of_the_type() -> None:
    assert frozenset(AddOptions.__annotations__) == OPTION_NAMES
