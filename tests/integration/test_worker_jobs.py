"""What a worker makes of its jobs: results, failures, notes, timeouts; real template, fork and Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from jobd.client import Flow, Queue
from jobd.engine.backoff import Backoff
from jobd.protocol import worker as messages
from jobd.protocol.worker import HandlerSpec
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_parent import WorkerParent, numbers


class Bench:
    """A queue with a worker parent, and what lies in Redis."""

    def __init__(self, server: RedisServer, prefix: str, r: redis.Redis) -> None:
        self.queue = Queue("mail", url=server.url, prefix=prefix)
        self.parent = WorkerParent(server.url, prefix)
        self.base = f"{prefix}:mail:"
        self.r = r

    def run(self, handler: str, data: Any = None, *, job: dict[str, Any] | None = None, **more: Any) -> dict[str, str]:
        """Run one job to its end (failed, completed or delayed) and return its hash with its state."""
        added = self.queue.add("welcome", {} if data is None else data, **(job or {}))
        self.parent.start("mail", numbers(handler, **more))
        return self.ended(added.id)

    def ended(self, job_id: str, deadline: float = 10.0) -> dict[str, str]:
        """Wait until a job has left active and return its hash with its state."""
        state = wait_until(lambda: self.state(job_id), deadline, what=f"job {job_id} ends")
        return {**self.r.hgetall(self.base + job_id), "state": state}

    def state(self, job_id: str) -> str | None:
        """Its state when it is at rest after a run."""
        for state in ("completed", "failed", "delayed"):
            if self.r.zscore(self.base + state, job_id) is not None:
                return state
        return None


@pytest.fixture
def bench(redis_server: RedisServer, prefix: str, r: redis.Redis) -> Iterator[Bench]:
    made = Bench(redis_server, prefix, r)
    with made.parent:
        yield made
    made.queue.close()


@pytest.mark.parametrize("handler", ["basic:echo", "basic:echo_in_thread"])
def test_result_is_stored_as_json(bench: Bench, handler: str) -> None:
    found = bench.run(handler, {"a": [1, "ü"]})
    assert (found["state"], json.loads(found["returnvalue"])) == ("completed", {"a": [1, "ü"]})
    assert bench.r.exists(bench.base + "1:lock") == 0


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ("basic:fail", "no luck"),
        ("basic:fail_async", "no luck"),
        ("basic:leave", "SystemExit: 3"),
        ("basic:interrupt", "KeyboardInterrupt"),
        ("basic:give_up", "no such user"),
        ("basic:not_json", "result is not JSON: it holds a value of type set"),
        ("basic:nan", "result is not JSON: it holds NaN or an infinite number (float)"),
        ("basic:mute", "_Mute (its text cannot be made: RuntimeError)"),
        ("basic:surrogate", "half \\ud800 pair"),
        ("basic:lookup", "KeyError: 'userId'"),
    ],
)
def test_failure_says_why(bench: Bench, handler: str, reason: str) -> None:
    found = bench.run(handler)
    assert (found["state"], found["failedReason"]) == ("failed", reason)
    (trace,) = json.loads(found["stacktrace"])
    assert "jobd/worker/" not in trace.replace("NotJson", "") or "NotJson" in trace


def test_traceback_is_bounded_and_begins_in_the_handler(bench: Bench) -> None:
    found = bench.run("basic:deep")
    (trace,) = json.loads(found["stacktrace"])
    assert len(trace) <= 64_000
    assert "basic.py" in trace.splitlines()[1]


def test_failed_attempt_is_retried_with_backoff_until_attempts_are_used_up(bench: Bench) -> None:
    found = bench.run("basic:fail", job={"attempts": 3})
    assert (found["state"], found["atm"], len(json.loads(found["stacktrace"]))) == ("failed", "3", 3)
    bench.parent.workers[0].kill()
    spec = {"attempts": 2, "backoff": Backoff("fixed", 3_600_000)}
    assert bench.run("basic:fail", **spec)["delay"] == "3600000"


def test_unrecoverable_uses_up_no_attempts(bench: Bench) -> None:
    assert bench.run("basic:give_up", job={"attempts": 5})["atm"] == "1"


def test_retry_later_delays_without_counting_the_attempt(bench: Bench) -> None:
    found = bench.run("basic:later")
    assert (found["state"], found.get("atm"), found["delay"]) == ("delayed", None, "3600000")


def test_rate_limited_rests_the_queue_and_runs_the_job_first_then(bench: Bench) -> None:
    first = bench.queue.add("a", {"limit": "400ms"})
    second = bench.queue.add("b", {})
    bench.parent.start("mail", numbers("basic:slow_down"))
    wait_until(lambda: bench.r.exists(bench.base + "limiter"))
    assert bench.r.lrange(bench.base + "wait", -1, -1) == [first.id]
    limited = float(bench.r.hget(bench.base + first.id, "processedOn") or 0)
    ended = [bench.ended(job.id) for job in (first, second)]
    assert [found.get("atm") for found in ended] == ["1", "1"]
    assert limited + 390 <= float(ended[0]["processedOn"]) <= float(ended[1]["processedOn"])


@pytest.mark.parametrize("handler", ["basic:talk", "basic:talk_async"])
def test_notes_are_in_redis_in_order_before_the_job_finishes(bench: Bench, handler: str) -> None:
    found = bench.run(handler)
    assert bench.r.lrange(bench.base + "1:logs", 0, -1) == ["one", "two"]
    assert (json.loads(found["progress"]), json.loads(found["data"])) == ({"half": True}, {"changed": 1})
    events = [fields for _, fields in bench.r.xrange(bench.base + "events")]
    names = [event["event"] for event in events]
    assert names.index("progress") < names.index("completed")
    assert [event["data"] for event in events if event["event"] == "progress"] == ["10", '{"half":true}']


@pytest.mark.parametrize("handler", ["basic:wait", "basic:wait_in_thread"])
def test_attempt_over_its_timeout_is_interrupted_and_fails(bench: Bench, handler: str) -> None:
    began = time.monotonic()
    found = bench.run(handler, {"seconds": 30}, timeout_ms=200)
    assert (found["state"], found["failedReason"]) == ("failed", "timed out after 200ms")
    assert time.monotonic() - began < 5


def test_thread_that_timed_out_runs_the_next_job_unharmed(bench: Bench) -> None:
    bench.queue.add("slow", {"seconds": 30})
    others = [bench.queue.add("quick", {"seconds": 0.02}) for _ in range(20)]
    bench.parent.start("mail", numbers("basic:wait_in_thread", timeout_ms=150))
    assert {bench.ended(job.id)["state"] for job in others} == {"completed"}
    assert bench.ended("1")["failedReason"] == "timed out after 150ms"


def test_deadline_of_the_daemon_stands_on_the_board(bench: Bench) -> None:
    bench.queue.add("slow", {"seconds": 3})
    worker = bench.parent.start("mail", numbers("rough:stubborn", timeout_ms=300, kill_after_ms=500))
    view = wait_until(lambda: worker.board.slot(1023) or next(iter(worker.board.slots()), None))
    assert round(view.deadline_at - view.started_at, 3) == 0.3
    assert round(view.kill_at - view.deadline_at, 3) == 0.5
    assert (view.job_id, view.name, view.ats) == ("1", "slow", 1)


def test_unknown_name_fails_at_once_with_the_known_names(bench: Bench) -> None:
    bench.queue.add("other", {}, attempts=5)
    known = {"welcome": HandlerSpec("basic:echo"), "bye": HandlerSpec("basic:echo")}
    bench.parent.start("mail", numbers(None, jobs=known))
    found = bench.ended("1")
    assert (found["state"], found["atm"]) == ("failed", "1")
    assert found["failedReason"] == 'no handler for job name "other"; known names: bye, welcome'


def test_unknown_name_is_a_counted_attempt_when_the_file_says_retry(bench: Bench) -> None:
    bench.queue.add("other", {}, attempts=3)
    bench.parent.start("mail", numbers(None, jobs={"welcome": HandlerSpec("basic:echo")}, unknown="retry"))
    assert bench.ended("1")["atm"] == "3"


def test_attempts_of_the_file_hold_for_unknown_names_too(bench: Bench) -> None:
    bench.queue.add("other", {})
    bench.queue.add("other", {}, attempts=9)
    named = numbers(None, jobs={"welcome": HandlerSpec("basic:echo")}, unknown="retry")
    bench.parent.start("mail", replace(named, attempts=2, attempts_max=3))
    assert [bench.ended(job_id)["atm"] for job_id in ("1", "2")] == ["2", "3"]


def test_name_with_a_handler_of_its_own_gets_it(bench: Bench) -> None:
    bench.queue.add("special", {"x": 1})
    bench.queue.add("other", {})
    bench.parent.start("mail", numbers("basic:nothing", jobs={"special": HandlerSpec("basic:echo")}))
    assert bench.ended("1")["returnvalue"] == '{"x":1}'
    assert bench.ended("2")["returnvalue"] == "null"


@pytest.mark.parametrize("broken", ['{"a":', "\x00", "NaN", "[" * 100_000])
def test_data_that_is_not_json_fails_for_good_and_says_so(bench: Bench, broken: str) -> None:
    bench.queue.add("a", {}, attempts=5)
    bench.r.hset(bench.base + "1", "data", broken)
    bench.parent.start("mail", numbers("basic:nothing"))
    found = bench.ended("1")
    assert (found["state"], found["atm"]) == ("failed", "1")
    assert found["failedReason"].startswith("data is not JSON")


def test_job_without_a_hash_fails_and_the_next_one_runs(bench: Bench) -> None:
    bench.queue.add("a", {"x": 1})
    bench.r.rpush(bench.base + "wait", "ghost")
    bench.parent.start("mail", numbers("basic:echo"))
    assert bench.ended("1")["state"] == "completed"
    wait_until(lambda: bench.r.llen(bench.base + "active") == 0)


@pytest.mark.parametrize("handler", ["basic:gather", "basic:gather_async"])
def test_parent_reads_what_its_children_returned(bench: Bench, handler: str) -> None:
    flow = Flow(
        "parent", children=[Flow("child", {"n": 1}), Flow("child", {"n": 2}), Flow("bad", {}, if_failed="ignore")]
    )
    tree = bench.queue.add_flow(flow)
    bench.parent.start("mail", numbers(handler))
    first, second, bad = (child.job.key for child in tree.children)
    assert tree.job.wait(20) == {"values": {first: 1, second: 2}, "ignored": {bad: "no"}}


@pytest.mark.parametrize("handler", ["basic:spread", "basic:spread_async"])
def test_parent_waits_for_the_children_it_added_itself(bench: Bench, handler: str) -> None:
    job = bench.queue.add("parent")
    bench.parent.start("mail", numbers(handler))
    assert sorted(job.wait(20)) == [1, 2, 3]
    found = bench.ended(job.id)
    assert (found["atm"], found["ats"]) == ("1", "2")


def test_child_in_another_queue_wakes_that_of_its_parent(bench: Bench) -> None:
    """A worker that hears of nothing looks every five seconds."""
    bench.parent.start("mail", numbers("basic:gather"))
    bench.parent.start("pages", numbers("basic:gather"))
    first = bench.queue.add("child", {"n": 0})
    assert first.wait(20) == 0
    tree = bench.queue.add_flow(Flow("parent", children=[Flow("child", {"n": 1}, queue="pages")]))
    assert list(tree.job.wait(20)["values"].values()) == [1]
    ended = bench.ended(tree.job.id)
    child = bench.r.hget(tree.children[0].job.key, "finishedOn")
    assert float(ended["processedOn"]) - float(child or 0) < 2000


def test_failure_of_a_child_fails_its_parent_unrun(bench: Bench) -> None:
    tree = bench.queue.add_flow(Flow("parent", attempts=3, children=[Flow("bad", if_failed="fail")]))
    bench.parent.start("mail", numbers("basic:gather"))
    found = bench.ended(tree.job.id)
    assert found["failedReason"] == f"child {tree.children[0].job.key} failed"


def test_deferred_failure_is_carried_out_without_running(bench: Bench) -> None:
    bench.queue.add("a", {}, attempts=5)
    bench.r.hset(bench.base + "1", "defa", "child failed")
    bench.parent.start("mail", numbers("basic:echo"))
    assert bench.ended("1")["failedReason"] == "child failed"


def test_job_first_due_too_long_ago_expires_but_a_retry_does_not(bench: Bench) -> None:
    bench.queue.add("a", {}, timestamp=int(time.time() * 1000) - 10_000)
    bench.queue.add("b", {}, timestamp=int(time.time() * 1000) - 10_000)
    bench.r.hset(bench.base + "2", "atm", "1")
    bench.queue.add("c", {})
    bench.parent.start("mail", numbers("basic:nothing", expire_ms=5_000))
    assert bench.ended("1")["failedReason"] == "expired"
    assert bench.ended("2")["state"] == bench.ended("3")["state"] == "completed"


def test_task_of_a_handler_that_exits_does_not_end_the_worker(bench: Bench) -> None:
    assert bench.run("rough:loud_task")["returnvalue"] == '"still here"'


def test_setup_wraps_and_teardown_run_around_the_jobs_in_order(bench: Bench) -> None:
    added = bench.queue.add("a", {})
    worker = bench.parent.start(
        "mail", numbers("shop:where"), setup="shop:setup", teardown="shop:teardown", wrap=["shop:outer", "shop:inner"]
    )
    bench.ended(added.id)
    worker.send(messages.Drain())
    worker.wait_gone()
    assert worker.printed().split("\n")[:-1] == [
        "setup", "outer in 1", "inner in", "ran", "inner out", "outer out 1", "teardown",
    ]  # fmt: skip


def test_async_wraps_surround_an_async_handler(bench: Bench) -> None:
    added = bench.queue.add("a", {})
    worker = bench.parent.start("mail", numbers("shop:where_async"), wrap=["shop:outer", "shop:async_inner"])
    bench.ended(added.id)
    assert worker.printed().split("\n")[:-1] == ["outer in 1", "async in", "ran", "async out", "outer out 1"]


def test_async_wrap_surrounds_a_plain_handler_in_its_thread(bench: Bench) -> None:
    wraps = ["shop:outer", "shop:async_inner", "shop:inner"]
    added = bench.queue.add("a", {})
    worker = bench.parent.start("mail", numbers("shop:where"), wrap=wraps)
    assert bench.ended(added.id)["returnvalue"] == "[false]"
    assert worker.printed().split("\n")[:-1] == [
        "outer in 1", "async in", "inner in", "ran", "inner out", "async out", "outer out 1",
    ]  # fmt: skip


def test_timeout_reaches_a_plain_handler_inside_an_async_wrap(bench: Bench) -> None:
    bench.queue.add("a", {"seconds": 30})
    worker = bench.parent.start(
        "mail", numbers("basic:wait_in_thread", timeout_ms=200), wrap=["shop:async_inner", "shop:outer"]
    )
    assert bench.ended("1")["failedReason"] == "timed out after 200ms"
    assert worker.printed().split("\n")[:-1] == ["async in", "outer in 1", "outer out 1"]


@pytest.mark.parametrize("handler", ["shop:swap_session", "shop:swap_session_async"])
def test_context_variables_of_setup_are_seen_and_those_of_a_job_are_not(bench: Bench, handler: str) -> None:
    for _ in range(3):
        bench.queue.add("a", {})
    bench.parent.start("mail", numbers(handler), setup="shop:setup")
    assert {bench.ended(str(number))["returnvalue"] for number in (1, 2, 3)} == {'"from setup"'}


def test_mode_process_runs_handlers_on_the_main_thread(bench: Bench) -> None:
    found = bench.run("shop:where", mode="process")
    assert json.loads(found["returnvalue"]) == [True]
    worker = bench.parent.workers[0]
    worker.send(messages.Drain())
    worker.wait_gone()
    assert bench.parent.exited().status == 0


def test_timeout_reaches_a_handler_on_the_main_thread(bench: Bench) -> None:
    found = bench.run("basic:wait_in_thread", {"seconds": 30}, mode="process", timeout_ms=200)
    assert found["failedReason"] == "timed out after 200ms"


@pytest.mark.parametrize("handler", ["basic:nothing", "basic:nothing_in_thread"])
def test_thousand_jobs_are_each_run_once(bench: Bench, handler: str) -> None:
    bench.queue.add_many([("a", {"n": n}) for n in range(1000)])
    worker = bench.parent.start("mail", numbers(handler, concurrency=20))
    wait_until(lambda: bench.r.zcard(bench.base + "completed") == 1000)
    wait_until(lambda: worker.board.slots() == [])
    assert (worker.board.jobs_done, worker.board.jobs_failed, worker.board.busy) == (1000, 0, 0)
    assert bench.r.hget(bench.base + "500", "ats") == "1"


class TestModes:
    """An explicit mode wins over what the function looks like."""

    @pytest.mark.parametrize("mode", ["thread", "process"])
    @pytest.mark.parametrize("handler", ["basic:forgot_async", "basic:one_async"])
    def test_what_the_call_returns_is_run_to_its_end(self, bench: Bench, handler: str, mode: str) -> None:
        found = bench.run(handler, mode=mode)
        assert (found["state"], found["returnvalue"]) == ("completed", "1")

    def test_wrapper_that_runs_a_loop_itself_is_a_thread(self, bench: Bench) -> None:
        assert bench.run("basic:runs_itself")["returnvalue"] == "1"

    def test_async_without_an_awaitable_fails_with_that_word(self, bench: Bench) -> None:
        found = bench.run("basic:not_really", mode="async")
        assert (
            found["failedReason"]
            == 'mode "async" needs an awaitable, and the handler returned int; use mode = "thread"'
        )

    def test_timeout_cancels_an_awaitable_in_a_thread(self, bench: Bench) -> None:
        found = bench.run("basic:wait", {"seconds": 30}, mode="thread", timeout_ms=200)
        assert (found["state"], found["failedReason"]) == ("failed", "timed out after 200ms")


@pytest.mark.parametrize("handler", ["basic:shout", "basic:leave_loudly"])
def test_reason_and_trace_of_a_huge_text_are_cut_with_a_mark(bench: Bench, handler: str) -> None:
    found = bench.run(handler)
    (trace,) = json.loads(found["stacktrace"])
    for text in (found["failedReason"], trace):
        assert len(text.encode()) <= 64_000
        assert "… cut by jobd: 50000" in text


def test_log_line_is_cut_with_a_mark(bench: Bench) -> None:
    bench.run("basic:talk_at_length")
    (line,) = bench.r.lrange(bench.base + "1:logs", 0, -1)
    assert len(line.encode()) <= 64_000
    assert line.startswith("xxx")
    assert "… cut by jobd: 100000000 characters …" in line


def test_half_a_surrogate_pair_in_a_result_is_written_as_an_escape(bench: Bench) -> None:
    found = bench.run("basic:half")
    assert found["returnvalue"] == '{"text":"\\ud800"}'


@pytest.mark.parametrize("handler", ["basic:fail", "basic:fail_async"])
def test_on_failed_hears_of_the_last_attempt_and_may_still_write_to_the_job(bench: Bench, handler: str) -> None:
    added = bench.queue.add("welcome", {}, attempts=2)
    bench.parent.start("mail", numbers(handler), on_failed="basic:note_failed")
    assert bench.ended(added.id)["state"] == "failed"
    assert bench.r.lrange(f"{bench.base}{added.id}:logs", 0, -1) == ["gave up after 2: no luck"]
