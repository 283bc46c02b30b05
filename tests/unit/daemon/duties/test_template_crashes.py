"""When the end of a template is held against the jobs that ran."""

from __future__ import annotations

from jobd.daemon.duties.template_crashes import FREE, TemplateCrashes


def test_the_third_end_under_the_same_job_is_held_against_it():
    crashes = TemplateCrashes()
    assert [crashes.template_died("a", ["7"], at) for at in range(4)] == [False] * FREE + [True, True]


def test_other_jobs_other_queues_and_old_ends_do_not_count():
    crashes = TemplateCrashes()
    assert [crashes.template_died("a", ["7", "8"], at) for at in range(FREE)] == [False] * FREE
    assert not crashes.template_died("b", ["7"], FREE)
    assert not crashes.template_died("a", ["9"], FREE)
    assert not crashes.template_died("a", ["7"], 7200.0)
