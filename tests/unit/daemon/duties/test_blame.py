"""When the end of a template is held against the jobs that ran."""

from __future__ import annotations

from jobd.daemon.duties.blame import FREE, Blame


def test_the_third_end_under_the_same_job_is_held_against_it():
    blame = Blame()
    assert [blame.template_died("a", ["7"], at) for at in range(4)] == [False] * FREE + [True, True]


def test_other_jobs_other_queues_and_old_ends_do_not_count():
    blame = Blame()
    assert [blame.template_died("a", ["7", "8"], at) for at in range(FREE)] == [False] * FREE
    assert not blame.template_died("b", ["7"], FREE)
    assert not blame.template_died("a", ["9"], FREE)
    assert not blame.template_died("a", ["7"], 7200.0)
