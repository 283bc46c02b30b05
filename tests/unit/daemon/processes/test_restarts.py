"""When a worker is started again, and when its queue is held back."""

from __future__ import annotations

from jobd.daemon.processes.restarts import HEALTHY_S, MAX_DELAY_S, BreakerState, RestartDelay


def test_the_first_restart_has_no_delay_and_later_ones_grow_to_half_a_minute():
    delay = RestartDelay()
    delays = [delay.after_exit(ready_for_s=1.0) for _ in range(10)]
    assert delays[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == MAX_DELAY_S


def test_a_worker_that_was_healthy_for_long_is_restarted_at_once_again():
    delay = RestartDelay()
    for _ in range(5):
        delay.after_exit(ready_for_s=0.0)
    assert delay.after_exit(ready_for_s=HEALTHY_S) == 0.0
    assert delay.after_exit(ready_for_s=0.0) == 0.5


def test_a_worker_that_finished_a_job_is_restarted_at_once_again():
    delay = RestartDelay()
    for _ in range(5):
        delay.after_exit(ready_for_s=0.0)
    assert delay.after_exit(ready_for_s=0.1, jobs_done=1) == 0.0


def test_the_delay_stays_finite_after_ten_thousand_exits():
    delay = RestartDelay(failures=10_000)
    assert delay.after_exit(ready_for_s=0.0) == MAX_DELAY_S


def test_the_nth_exit_within_the_window_holds_the_queue():
    breaker = BreakerState()
    held = [breaker.exited(now, 3, 60.0) for now in (0.0, 1.0, 2.0)]
    assert held == [False, False, True]


def test_exits_further_apart_than_the_window_do_not_hold_the_queue():
    breaker = BreakerState()
    assert not any(breaker.exited(now * 31.0, 3, 60.0) for now in range(20))


def test_a_breaker_of_one_crash_holds_at_the_first():
    assert BreakerState().exited(0.0, 1, 60.0)


def test_a_reset_forgets_the_exits():
    breaker = BreakerState()
    breaker.exited(0.0, 2, 60.0)
    breaker.reset()
    assert not breaker.exited(1.0, 2, 60.0)
