"""A worker whose event loop stands still: reported while a job runs, killed when none does."""

from __future__ import annotations

import pytest

from jobd.daemon.duties.stuck_loops import SHORTEST_S, TEARDOWN_S, Beat, Verdict, judge

LOCK_S = 30.0


@pytest.mark.parametrize(
    ("stands_s", "lock_s", "runs_a_job", "drains", "verdict"),
    [
        (29.0, LOCK_S, False, False, Verdict.TURNS),
        (30.0, LOCK_S, False, False, Verdict.KILL),
        (3600.0, LOCK_S, True, False, Verdict.REPORT),
        (3600.0, LOCK_S, True, True, Verdict.REPORT),
        (31.0, LOCK_S, False, True, Verdict.REPORT),
        (TEARDOWN_S, LOCK_S, False, True, Verdict.KILL),
        (SHORTEST_S - 1, 0.5, False, False, Verdict.TURNS),
        (SHORTEST_S, 0.5, False, False, Verdict.KILL),
        (TEARDOWN_S + 1, 600.0, False, True, Verdict.TURNS),
    ],
)
def test_what_is_done_about_a_loop_that_stands_still(stands_s, lock_s, runs_a_job, drains, verdict):
    assert judge(stands_s, lock_s, runs_a_job=runs_a_job, drains=drains) is verdict


def test_a_loop_that_beats_does_not_stand_still():
    beat = Beat(1.0, 1.0)
    assert [beat.seen(float(now), float(now)) for now in range(2, 60)] == [0.0] * 58


def test_a_beat_that_does_not_change_is_counted_from_the_look_that_saw_it_first():
    beat = Beat(1.0, 100.0)
    stands = [beat.seen(1.0, 100.0 + now) for now in range(1, 41)]
    assert (stands[-1], stands[29]) == (40.0, 30.0)
    assert beat.seen(2.0, 141.0) == 0.0


def test_after_the_daemon_itself_was_stopped_the_first_looks_prove_nothing():
    beat = Beat(1.0, 100.0)
    assert beat.seen(1.0, 4000.0) == 0.0
    assert beat.seen(2.0, 4001.0) == 0.0
