"""jobd.testing.run_batch, and with it the worker's own batches: binding, results, failures of single entries."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from jobd import Job, RateLimited, RetryLater, Unrecoverable, current_job
from jobd.errors import HandlerError, InputError
from jobd.testing import run_batch


@dataclass
class Text:
    text: str


def lengths(jobs: list[Job]) -> list[int]:
    return [len(job.data["text"]) for job in jobs]


async def lengths_async(jobs: list[Job]) -> list[int]:
    await asyncio.sleep(0)
    return [len(job.data["text"]) for job in jobs]


def typed(texts: list[Text]) -> list[str]:
    return [each.text for each in texts]


def mixed(jobs: list[Job]) -> list[Any]:
    ends = [1, ValueError("no"), Unrecoverable("never"), RetryLater("3s"), RateLimited("2s"), {1}, None]
    return ends[: len(jobs)]


def raises(jobs: list[Job]) -> list[Any]:
    raise RuntimeError(f"all {len(jobs)}")


DATA = [{"text": "a"}, {"text": "bb"}, {"text": "ccc"}]


@pytest.mark.parametrize("handler", [lengths, lengths_async, lambda jobs: [len(job.data["text"]) for job in jobs]])
def test_one_call_gets_all_and_each_gets_its_result(handler: Any) -> None:
    done = run_batch(handler, DATA)
    assert [(each.outcome, each.result) for each in done] == [("completed", 1), ("completed", 2), ("completed", 3)]


def test_what_does_not_fit_fails_alone_before_the_call() -> None:
    done = run_batch(typed, [{"text": "a"}, {"txt": 1}, {"text": "c"}], opts={"attempts": 3})
    assert [each.outcome for each in done] == ["completed", "failed", "completed"]
    assert [done[0].result, done[2].result] == ["a", "c"]
    assert str(done[1].error).startswith("data does not fit: text: ")


def test_a_batch_of_which_nothing_fits_is_not_called() -> None:
    assert [each.outcome for each in run_batch(typed, [{}, {}])] == ["failed", "failed"]


@pytest.mark.parametrize("mode", ["thread", "async"])
def test_an_entry_that_is_an_exception_ends_that_job_alone(mode: str) -> None:
    async def mixed_async(jobs: list[Job]) -> list[Any]:
        return mixed(jobs)

    done = run_batch(mixed if mode == "thread" else mixed_async, [{}] * 7, opts={"attempts": 2})
    outcomes = [each.outcome for each in done]
    assert outcomes == ["completed", "retry", "failed", "delayed", "rate_limited", "retry", "completed"]
    assert done[3].delay_s == 3.0
    assert str(done[1].error) == "no"
    assert "result is not JSON" in str(done[5].error)


def test_what_the_handler_raises_fails_the_attempt_of_all() -> None:
    done = run_batch(raises, DATA, opts={"attempts": 2})
    assert [(each.outcome, str(each.error)) for each in done] == [("retry", "all 3")] * 3


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "the batch handler returned 2 results for 3 jobs"),
        ([1, 2, 3, 4], "the batch handler returned 4 results for 3 jobs"),
        (None, "got NoneType for 3 jobs"),
        ({"a": 1}, "got dict for 3 jobs"),
    ],
)
def test_a_wrong_number_of_results_fails_all_with_both_numbers(value: Any, said: str) -> None:
    def handler(jobs: list[Job]) -> Any:
        return value

    done = run_batch(handler, DATA)
    assert [each.outcome for each in done] == ["failed"] * 3
    assert all(said in str(each.error) for each in done)


def test_each_job_writes_its_own_notes_and_none_is_the_current_one() -> None:
    def handler(jobs: list[Job]) -> list[Any]:
        for job in jobs:
            job.log(f"text {job.data['text']}")
            job.progress(len(job.data["text"]))
        return [current_job() for _ in jobs]

    done = run_batch(handler, DATA)
    assert [each.logs for each in done] == [["text a"], ["text bb"], ["text ccc"]]
    assert [each.progress for each in done] == [[1], [2], [3]]
    assert [each.result for each in done] == [None] * 3


def handler_of_one(job: Job) -> None: ...


def handler_of_two(jobs: list[Job], more: int) -> None: ...


def handler_of_none() -> None: ...


def handler_of_names(*, text: str) -> None: ...


@pytest.mark.parametrize("handler", [handler_of_one, handler_of_two, handler_of_none, handler_of_names])
def test_a_handler_that_takes_no_list_is_refused(handler: Any) -> None:
    with pytest.raises(HandlerError, match=r"with `batch`: .*write \(jobs: list\[Job\]\)"):
        run_batch(handler, DATA)


def test_a_queue_without_batch_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobd.toml").write_text('[redis]\nurl = "redis://h"\n[queues]\na = "m:f"\n')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text("def f(job): ...\n")
    with pytest.raises(InputError, match='queue "a" has no `batch`'):
        run_batch(queue="a", data=DATA)


def test_what_a_call_prints_goes_to_the_log_of_each_job(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobd.toml").write_text(
        '[redis]\nurl = "redis://h"\n[queues.a]\nhandler = "prints_in_batch:f"\n'
        'batch = { max = 2 }\njob_log_output = "1kB"\n'
    )
    (tmp_path / "prints_in_batch.py").write_text(
        "from jobd.worker.run.output import capture\n"
        "def f(jobs):\n    capture()\n    print(len(jobs), 'texts')\n    return [None] * len(jobs)\n"
    )
    monkeypatch.chdir(tmp_path)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, getattr(sys, stream))  # what it wraps comes back
    done = run_batch(queue="a", data=DATA)
    assert [each.logs for each in done] == [["2 texts"], ["2 texts"], ["1 texts"]]
