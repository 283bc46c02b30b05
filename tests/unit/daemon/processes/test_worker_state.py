"""One worker's state machine: every event and order in every state that can see it."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

import pytest

from jobd.clock import SYSTEM_CLOCK
from jobd.daemon.processes.exit_status import Ending
from jobd.daemon.processes.worker_state import Worker, WorkerState
from jobd.engine.job import Keep
from jobd.protocol.worker import (
    Cancel,
    Drain,
    Numbers,
    Quiet,
    RedisTarget,
    Resume,
    Settings,
    Stop,
    UseRedis,
)

KILLED = int(signal.SIGKILL)
NUMBERS = Numbers(4, 30_000, Keep(), Keep(), None, None, "fail", None, {})


@dataclass
class Recorder:
    """Link and owner in one: notes what was sent and told."""

    sent: list[Any] = field(default_factory=list)
    kills: int = 0
    told: list[tuple[str, ...]] = field(default_factory=list)

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def kill(self) -> None:
        self.kills += 1

    def print_stacks(self) -> None:
        self.sent.append("stacks")

    def worker_ready(self, worker: Worker) -> None:
        self.told.append(("ready",))

    def worker_start_failed(self, worker: Worker, stage: str, reason: str) -> None:
        self.told.append(("start failed", stage, reason))

    def worker_gone(self, worker: Worker) -> None:
        self.told.append(("gone", worker.ending.value))


@pytest.fixture
def seen() -> Recorder:
    return Recorder()


def new(seen: Recorder, *, hold: bool = False) -> Worker:
    return Worker("1.1.1", "email", 1, seen, SYSTEM_CLOCK, hold=hold)


def started(seen: Recorder, *, hold: bool = False) -> Worker:
    worker = new(seen, hold=hold)
    worker.spawned(7, seen, None)  # type: ignore[arg-type]
    worker.told_to_start()
    return worker


def ready(seen: Recorder, *, hold: bool = False) -> Worker:
    """It has been told to take jobs, unless it is held."""
    worker = started(seen, hold=hold)
    worker.ready(redis_up=True)
    assert seen.sent == ([] if hold else [Resume()])
    seen.sent.clear()
    return worker


def test_a_worker_is_forking_then_starting_then_ready(seen):
    worker = new(seen)
    assert (worker.state, worker.shown_state) == (WorkerState.FORKING, "starting")
    worker.spawned(7, seen, None)  # type: ignore[arg-type]
    assert worker.state is WorkerState.STARTING
    worker.ready(redis_up=False)
    assert (worker.state, worker.redis_up, seen.told) == (WorkerState.READY, False, [("ready",)])


def test_a_worker_given_up_while_it_forks_is_killed_before_it_gets_its_start(seen):
    worker = new(seen)
    worker.drain()
    worker.spawned(7, seen, None)  # type: ignore[arg-type]
    assert (seen.kills, seen.sent) == (1, [])
    worker.exited(KILLED, template_died=False)
    assert seen.told == [("gone", "asked")]


def test_a_worker_given_up_while_it_starts_is_killed_and_was_never_told_to_take_jobs(seen):
    """It took some before the daemon knew that it was ready; a scale or a reload killed it with them."""
    worker = started(seen)
    worker.drain()
    worker.ready(redis_up=True)
    assert (seen.kills, seen.sent) == (1, [])


def test_a_fork_that_fails_is_a_failed_start_and_a_gone_worker(seen):
    worker = new(seen)
    worker.fork_failed("no memory")
    assert seen.told == [("start failed", "fork", "no memory"), ("gone", "start failed")]
    worker.fork_failed("again")
    assert len(seen.told) == 2


def test_a_fork_that_fails_after_it_was_given_up_is_no_failed_start(seen):
    worker = new(seen)
    worker.drain()
    worker.fork_failed("not wanted any more")
    assert seen.told == [("gone", "asked")]


def test_a_process_that_could_not_be_told_to_start_is_killed_and_its_exit_awaited(seen):
    worker = new(seen)
    worker.spawned(7, seen, None)  # type: ignore[arg-type]
    worker.fork_failed("unforeseen")
    worker.fork_failed("again")
    assert (seen.kills, seen.told) == (1, [("start failed", "fork", "unforeseen")])
    worker.exited(KILLED, template_died=False)
    assert seen.told[1:] == [("gone", "start failed")]


def test_a_failed_setup_is_told_once_and_its_exit_is_no_crash(seen):
    worker = started(seen)
    worker.start_failed("setup", "no database")
    worker.exited(1 << 8, template_died=False)
    assert seen.told == [("start failed", "setup", "no database"), ("gone", "start failed")]


def test_a_worker_that_is_not_ready_in_time_is_killed(seen):
    worker = started(seen)
    worker.start_timed_out(60.0)
    assert (seen.kills, worker.ending) == (1, Ending.START_FAILED)
    assert seen.told == [("start failed", "setup", "not ready within 60s")]


def test_the_time_limit_means_nothing_once_it_is_ready(seen):
    worker = ready(seen)
    worker.start_timed_out(60.0)
    assert (seen.kills, worker.state) == (0, WorkerState.READY)


@pytest.mark.parametrize("status", [KILLED, 0, 3 << 8, int(signal.SIGSEGV) | 0x80])
def test_an_exit_nobody_asked_for_is_a_crash_whatever_its_status(seen, status):
    worker = ready(seen)
    worker.exited(status, template_died=False)
    assert (worker.ending, worker.ending.counted) == (Ending.CRASHED, True)
    assert seen.told[-1] == ("gone", "crashed")


def test_a_death_with_its_template_is_not_counted(seen):
    worker = ready(seen)
    worker.exited(KILLED, template_died=True)
    assert (worker.ending, worker.ending.counted) == (Ending.TEMPLATE_DIED, False)


def test_a_drained_worker_that_exits_cleanly_was_asked_to(seen):
    worker = ready(seen)
    worker.drain()
    assert isinstance(seen.sent[-1], Drain)
    assert worker.shown_state == "draining"
    worker.exited(0, template_died=False)
    assert worker.ending is Ending.ASKED


def test_a_draining_worker_that_is_killed_by_its_job_has_crashed(seen):
    worker = ready(seen)
    worker.drain()
    worker.exited(KILLED, template_died=False)
    assert worker.ending is Ending.CRASHED


@pytest.mark.parametrize(
    ("running", "cause"), [([1], None), ([], "it ran no job and did not end: teardown takes too long")]
)
def test_one_that_does_not_stop_says_so_when_no_job_is_the_reason(seen, monkeypatch, running, cause):
    worker = ready(seen)
    worker.stop(500)
    monkeypatch.setattr(worker, "slots", lambda: running)
    worker.kill_late()
    assert (worker.ending, worker.cause) == (Ending.ASKED, cause)


def test_the_first_reason_for_a_kill_is_the_one_that_counts(seen):
    worker = ready(seen)
    worker.kill(Ending.TIMED_OUT, "late")
    worker.kill(Ending.ASKED)
    worker.exited(KILLED, template_died=True)
    assert (seen.kills, worker.ending, worker.cause) == (1, Ending.TIMED_OUT, "late")


def test_memory_counts_as_the_workers_own_doing(seen):
    worker = ready(seen)
    worker.kill(Ending.MEMORY, "out of memory")
    worker.exited(KILLED, template_died=False)
    assert worker.ending.counted


def test_an_exit_is_told_once(seen):
    worker = ready(seen)
    worker.exited(KILLED, template_died=False)
    worker.exited(KILLED, template_died=False)
    assert [told for told in seen.told if told[0] == "gone"] == [("gone", "crashed")]


def test_quiet_and_resume_go_to_a_ready_worker(seen):
    worker = ready(seen)
    worker.quiet()
    assert (worker.state, seen.sent) == (WorkerState.QUIET, [Quiet()])
    worker.quiet()
    assert seen.sent == [Quiet()]
    worker.resume()
    assert (worker.state, seen.sent) == (WorkerState.READY, [Quiet(), Resume()])


def test_a_worker_quieted_before_it_starts_never_takes_a_job_meanwhile(seen):
    worker = new(seen)
    worker.quiet()
    worker.spawned(7, seen, None)  # type: ignore[arg-type]
    worker.told_to_start()
    worker.ready(redis_up=True)
    assert (worker.state, seen.sent) == (WorkerState.QUIET, [Quiet()])
    worker.resume()
    assert seen.sent[-1] == Resume()


def test_a_worker_unquieted_while_it_starts_takes_jobs_when_ready(seen):
    worker = new(seen)
    worker.quiet()
    worker.spawned(7, seen, None)  # type: ignore[arg-type]
    worker.told_to_start()
    worker.resume()
    worker.ready(redis_up=True)
    assert (worker.state, seen.sent) == (WorkerState.READY, [Resume()])


def test_nothing_is_sent_before_the_start_message_which_has_all_that_changed_meanwhile(seen):
    worker = new(seen)
    worker.spawned(7, seen, None)  # type: ignore[arg-type]
    worker.settings(NUMBERS, 2)
    worker.use_redis(RedisTarget("redis://h/0", "bull"))
    assert (worker.generation, seen.sent) == (2, [])
    worker.told_to_start()
    worker.settings(NUMBERS, 3)
    worker.use_redis(RedisTarget("redis://h/0", "bull"))
    assert [type(message) for message in seen.sent] == [Settings, UseRedis]


def test_a_trial_worker_is_held_until_released(seen):
    worker = ready(seen, hold=True)
    assert (worker.state, worker.takes_jobs, seen.sent) == (WorkerState.HELD, False, [])
    worker.release()
    assert (worker.state, seen.sent) == (WorkerState.READY, [Resume()])


def test_a_released_trial_worker_of_a_quiet_queue_stays_quiet(seen):
    worker = ready(seen, hold=True)
    worker.quiet()
    worker.release()
    assert (worker.state, Resume() in seen.sent) == (WorkerState.QUIET, False)
    worker.resume()
    assert worker.state is WorkerState.READY


def test_a_trial_worker_that_is_not_wanted_is_killed_not_drained(seen):
    worker = ready(seen, hold=True)
    worker.drain()
    assert (worker.state, seen.kills) == (WorkerState.KILLED, 1)


def test_a_stop_reaches_working_and_draining_workers(seen):
    worker = ready(seen)
    worker.drain()
    worker.stop(500)
    assert seen.sent[-1] == Stop(500)
    worker.exited(0, template_died=False)
    assert worker.ending is Ending.ASKED


def test_nothing_is_sent_to_a_worker_that_is_gone(seen):
    worker = ready(seen)
    worker.exited(KILLED, template_died=False)
    for order in (worker.quiet, worker.resume, worker.drain, worker.release, worker.dump_stacks):
        order()
    worker.stop(500)
    worker.cancel(0, "1", 1)
    worker.kill(Ending.ASKED)
    assert (seen.sent, seen.kills, worker.state) == ([], 0, WorkerState.GONE)


def test_a_lost_lock_is_told_to_the_worker_by_slot_id_and_ats(seen):
    worker = ready(seen)
    worker.cancel(3, "job", 5)
    assert seen.sent == [Cancel(3, "job", 5, "lock-lost")]
