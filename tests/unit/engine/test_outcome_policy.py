"""What becomes of a job after one run: options, policy, outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobd.engine.backoff import Backoff
from jobd.engine.job import KEEP_ALL, KEEP_NONE, Finish, Keep, Taken
from jobd.engine.outcome_policy import (
    DEFAULT_BACKOFF,
    LONGEST_DELAY_MS,
    JobOptions,
    Policy,
    after_failure,
    after_success,
    keep_from_opts,
    read_opts,
)
from jobd.engine.states import Outcome


def taken(**more: Any) -> Taken:
    facts: dict[str, Any] = {
        "id": "1", "token": "i:w:1", "name": "n", "data": b"{}", "opts": b"{}", "timestamp": 0, "delay_ms": 0,
        "priority": 0, "attempts_made": 0, "attempts_started": 1, "crashes": 0, "deduplication_id": None,
        "parent_key": None, "scheduler_id": None, "deferred_failure": None, "stacktrace": None, "suspect": False,
    }  # fmt: skip
    return Taken(**(facts | more))


def fail(options: JobOptions, policy: Policy = Policy(), reason: str = "boom", **more: Any) -> Finish:  # noqa: B008
    made = {"attempts_made": more.pop("made", 0), "stacktrace": more.pop("stacktrace", None)}
    return after_failure(taken(**made), options, policy, reason, more.pop("trace", "trace"), chance=0.0, **more)


def test_common_options_are_read() -> None:
    raw = (
        b'{"attempts":3,"backoff":{"type":"fixed","delay":9},"removeOnComplete":true,"removeOnFail":{"count":5,"age":60},'
        b'"kl":7,"lifo":true,"stackTraceLimit":2}'
    )
    assert read_opts(raw) == JobOptions(3, Backoff("fixed", 9), KEEP_NONE, Keep(5, 60), 7, True, 2)
    assert read_opts(b'{"attempts":0}') == read_opts(b"") == read_opts(None) == JobOptions()


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b"1", b"null", b"\xff", b"[" * 100_000, b'{"attempts":null}', b'{"attempts":""}',
     b'{"attempts":false}', b'{"removeOnFail":null}', b'{"backoff":[]}', b'{"attempts":1' + b"0" * 5_000 + b"}"],
)  # fmt: skip
def test_options_that_cannot_be_used_count_as_not_given(raw: bytes) -> None:
    options = read_opts(raw)
    assert (options.attempts, options.backoff, options.keep_failed) == (0, None, None)


@pytest.mark.parametrize(
    ("value", "keep"),
    [(True, KEEP_NONE), (False, KEEP_ALL), (0, KEEP_NONE), (3, Keep(3)), (-1, KEEP_ALL), ({}, KEEP_ALL),
     ({"age": 0.5}, Keep(age_s=1)), ({"count": 1, "age": 2, "limit": 3}, Keep(1, 2, 3)), ({"count": -1}, KEEP_ALL),
     ({"count": "x", "limit": 0}, KEEP_ALL), ("5", KEEP_NONE), ("", KEEP_ALL), (None, None), ([], None),
     (float("inf"), None)],
)  # fmt: skip
def test_what_stays_is_read_as_bullmq_reads_it(value: object, keep: Keep | None) -> None:
    assert keep_from_opts(value) == keep


def test_the_jobs_attempts_win_up_to_the_ceiling_and_none_are_the_files() -> None:
    policy = Policy(attempts=2, attempts_max=4)
    assert [policy.attempts_of(JobOptions(attempts=n)) for n in (0, 1, 3, 9)] == [2, 1, 3, 4]


def test_a_failure_is_retried_while_attempts_are_left() -> None:
    options = JobOptions(attempts=3)
    assert [fail(options, made=made).outcome for made in (0, 1, 2, 5)] == [
        Outcome.RETRY, Outcome.RETRY, Outcome.FAILED, Outcome.FAILED,
    ]  # fmt: skip
    assert fail(options, final=True).outcome is Outcome.FAILED
    assert fail(options, final=True).attempts == 3
    assert fail(JobOptions()).outcome is Outcome.FAILED


def test_the_jobs_backoff_wins_and_the_files_stands_in() -> None:
    files = Policy(attempts=5, backoff=Backoff("fixed", 70))
    own = JobOptions(attempts=3, backoff=Backoff("exponential", 10))
    assert [fail(own, files, made=made).delay_ms for made in (0, 1)] == [10, 20]
    assert fail(JobOptions(attempts=3), files).delay_ms == 70
    assert fail(JobOptions(attempts=3)).delay_ms == 0


def test_the_default_backoff_is_only_for_attempts_that_come_from_the_file() -> None:
    files = Policy(attempts=5, backoff=DEFAULT_BACKOFF)
    assert fail(JobOptions(), files).delay_ms == 800
    assert fail(JobOptions(attempts=3), files).delay_ms == 0


def test_no_retry_is_due_later_than_a_score_can_hold() -> None:
    assert fail(JobOptions(attempts=2, backoff=Backoff("fixed", 2**53))).delay_ms == LONGEST_DELAY_MS


def test_lifo_counts_for_a_retry() -> None:
    assert fail(JobOptions(attempts=2, lifo=True)).lifo


@pytest.mark.parametrize(
    ("stored", "limit", "expected"),
    [(None, None, ["trace"]), (b'["a","b"]', None, ["a", "b", "trace"]), (b'["a","b"]', 2, ["b", "trace"]),
     (b'["a"]', 0, []), (b"junk", None, ["trace"]), (b'{"a":1}', None, ["trace"]),
     (b'["",1,null,"a"]', None, ["a", "trace"])],
)  # fmt: skip
def test_stack_traces_grow_by_one_within_their_limit(
    stored: bytes | None, limit: int | None, expected: list[str]
) -> None:
    finish = fail(JobOptions(stack_trace_limit=limit), stacktrace=stored)
    assert json.loads(finish.stacktrace or b"") == expected


def test_no_reason_and_no_trace_is_ever_empty_or_unencodable() -> None:
    finish = fail(JobOptions(), reason="", trace="")
    assert finish.value == b"failed without a reason"
    assert json.loads(finish.stacktrace or b"") == ["failed without a reason"]
    odd = fail(JobOptions(), reason="half \udc80", trace="half \udc80")
    assert odd.value == b"half \\udc80"
    assert json.loads(odd.stacktrace or b"") == ["half \udc80"]


def test_what_stays_is_the_jobs_rule_else_the_files() -> None:
    files = Policy(keep_completed=Keep(9), keep_failed=Keep(8))
    job = taken(attempts_made=2, deduplication_id="d", suspect=True)
    finish = after_success(job, JobOptions(), files, b"1")
    assert (finish.outcome, finish.value, finish.keep, finish.made) == (Outcome.COMPLETED, b"1", Keep(9), 2)
    assert (finish.deduplication_id, finish.suspect) == ("d", True)
    assert after_success(job, JobOptions(keep_completed=KEEP_ALL), files, b"1").keep == KEEP_ALL
    assert fail(JobOptions(), files).keep == Keep(8)
    assert fail(JobOptions(keep_failed=KEEP_NONE), files).keep == KEEP_NONE


@pytest.mark.parametrize(
    ("stored", "attempts"),
    [("3", 3), (2.5, 3), ("2.5", 3), (" 2 ", 2), ("0x3", 3), ("1e1", 10), (-1, 1), ("three", 1), (float("nan"), 1),
     (True, 1), ([3], 3), ([1, 2], 1), ({}, 1), (0, 0), ("0", 0), (0.5, 1), (1e400, 2**31)],
)  # fmt: skip
def test_attempts_are_as_many_as_javascript_makes_of_them(stored: object, attempts: int) -> None:
    assert read_opts(json.dumps({"attempts": stored}).encode()).attempts == attempts


def test_options_nested_as_deep_as_json_is_read_are_read() -> None:
    for depth in range(100, 2_000, 50):
        raw = b'{"attempts":' + b"[" * depth + b"3" + b"]" * depth + b"}"
        assert read_opts(raw).attempts in (3, 0)  # 0: deeper than Python reads


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ("1", "d"),
        (2.5, "cd"),
        (0.5, "abcd"),
        ("0", "abcd"),
        (0, ""),
        (-3, "d"),
        (True, "d"),
        ("all", "abcd"),
        (None, "abcd"),
    ],
)  # fmt: skip
def test_stack_traces_are_cut_as_slice_cuts_them(stored: object, kept: str) -> None:
    options = read_opts(json.dumps({"stackTraceLimit": stored}).encode())
    finish = fail(options, stacktrace=b'["a","b","c"]', trace="d")
    assert json.loads(finish.stacktrace or b"") == list(kept)


@pytest.mark.parametrize(("stored", "lifo"), [("yes", True), ("", False), (1, True), (0, False), ("false", True)])
def test_lifo_is_what_javascript_takes_for_true(stored: object, lifo: bool) -> None:
    assert read_opts(json.dumps({"lifo": stored}).encode()).lifo is lifo


def test_a_backoff_of_an_unknown_type_is_the_queues_own() -> None:
    options = read_opts(b'{"attempts":3,"backoff":{"type":"mine","delay":5}}')
    assert options.unknown_backoff == "mine"
    assert fail(options, Policy(backoff=Backoff("fixed", 70))).delay_ms == 70
    assert fail(options, Policy(backoff=DEFAULT_BACKOFF)).delay_ms == fail(options).delay_ms == 800


def test_a_backoff_that_says_minus_one_says_no_more() -> None:
    assert fail(read_opts(b'{"attempts":3,"backoff":{"type":"fixed","delay":-1}}')).outcome is Outcome.FAILED
