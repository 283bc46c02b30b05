"""jobd.testing.run: a handler in a test, as a worker would run it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd import Job, RateLimited, RetryLater, Unrecoverable
from jobd.errors import HandlerError, InputError, NotThere
from jobd.testing import run


def send(job: Job) -> dict[str, Any]:
    job.progress(50)
    job.log("half way")
    job.update_data({"sent": True})
    job.add("other", "next", {"n": 1}, priority=2)
    return {"name": job.name, "data": job.data, "attempt": job.attempt}


async def asend(job: Job) -> Any:
    await job.add("other", "next", {})
    return job.data


def typed(*, user_id: int) -> int:
    return user_id


def fail(job: Job) -> None:
    raise ValueError("no luck")


def later(job: Job) -> None:
    raise RetryLater("30s")


def limited(job: Job) -> None:
    raise RateLimited("2s")


@contextlib.contextmanager
def doubled(job: Job) -> Iterator[None]:
    job.log("in")
    yield
    job.log("out")


def test_everything_the_handler_did_is_there() -> None:
    done = run(send, {"userId": 7}, name="welcome", attempt=2)
    assert done.outcome == "completed"
    assert done.result == {"name": "welcome", "data": {"sent": True}, "attempt": 2}
    assert (done.progress, done.logs, done.data, done.error) == ([50], ["half way"], {"sent": True}, None)
    (added,) = done.added
    assert (added.queue, added.name, added.data, added.opts["priority"]) == ("other", "next", {"n": 1}, 2)


@pytest.mark.parametrize("handler", [asend, f"{__name__}:asend"])
def test_path_or_function_also_inside_an_event_loop(handler: Any) -> None:
    async def scene() -> Any:
        return run(handler, [1])

    for done in (run(handler, [1]), asyncio.run(scene())):
        assert (done.outcome, done.result, len(done.added)) == ("completed", [1], 1)


@pytest.mark.parametrize(
    ("handler", "opts", "outcome", "delay_s"),
    [
        (fail, {}, "failed", 0.0), (fail, {"attempts": 2, "backoff": 1_500}, "retry", 1.5),
        (later, {}, "delayed", 30.0), (limited, {}, "rate_limited", 2.0),
    ],
)  # fmt: skip
def test_what_was_raised_is_told(handler: Any, opts: dict[str, Any], outcome: str, delay_s: float) -> None:
    done = run(handler, opts=opts)
    assert (done.outcome, done.delay_s, done.result) == (outcome, delay_s, None)
    assert done.error is not None


def test_data_that_does_not_fit_fails_for_good_and_names_the_field() -> None:
    done = run(typed, {"user_id": "x"}, opts={"attempts": 5})
    assert (done.outcome, type(done.error)) == ("failed", Unrecoverable)
    assert "user_id" in str(done.error)


def test_settings_of_a_queue_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobd.toml").write_text(
        f'[redis]\nurl = "redis://nowhere"\n[queues.email]\nattempts = 3\nbackoff = "5s"\n'
        f'wrap = ["{__name__}:doubled"]\n'
        f'[queues.email.jobs]\nbad = "{__name__}:fail"\n'
    )
    monkeypatch.chdir(tmp_path)
    first, last = (run(queue="email", name="bad", attempt=number) for number in (1, 3))
    assert (first.outcome, first.delay_s, first.logs) == ("retry", 5.0, ["in"])
    assert last.outcome == "failed"
    unknown = run(queue="email", name="worse")
    assert (unknown.outcome, str(unknown.error)) == ("failed", 'no handler for job name "worse"; known names: bad')
    assert run(asend, 1, queue="email", name="any").logs == ["in", "out"]
    with pytest.raises(NotThere):
        run(queue="mail", name="bad")


def test_what_cannot_be_run_is_raised() -> None:
    with pytest.raises(InputError):
        run()
    with pytest.raises(InputError):
        run(send, attempt=0)
    with pytest.raises(HandlerError):
        run("nowhere_at_all:send")
