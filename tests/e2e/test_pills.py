"""A job that kills its worker, among good ones: it fails by itself, they complete, another queue notices nothing."""

from __future__ import annotations

import pytest

from tests.support.waiting import wait_until

PILLS = """
[queues.a]
workers = {workers}
concurrency = 8
max_crashes = {max_crashes}
breaker = false
lock_duration = "5s"
[queues.a.jobs]
pill = "rude_handlers:pill_or_good"
good = "rude_handlers:pill_or_good"
[queues.b]
handler = "daemon_handlers:ok"
"""


@pytest.mark.parametrize(("workers", "max_crashes", "pills"), [(1, 1, 1), (1, 3, 1), (2, 1, 3)])
def test_pills_among_40_good_jobs_fail_alone_and_a_second_queue_is_served_all_the_while(
    make, jobs, tmp_path, workers, max_crashes, pills
):
    daemon = make(PILLS.format(workers=workers, max_crashes=max_crashes))
    a, b, mark = jobs("a"), jobs("b"), tmp_path / "mark"
    (other,) = daemon.worker_pids("b")
    kinds = ["good"] * 40
    for number in range(pills):
        kinds.insert(5 + 9 * number, "pill")
    added = [(kind, a.add({"mark": str(mark)}, name=kind)) for kind in kinds]

    served = []
    while len(a.ids("completed")) + len(a.ids("failed")) < len(added):
        served.append(a_round(b))
        assert len(served) < 2000, (a.ids("waiting"), a.ids("active"), daemon.log_tail())

    for kind, job in added:
        fields = a.hash(job)
        assert a.state(job) == ("failed" if kind == "pill" else "completed"), fields
        runs = mark.read_text().splitlines().count(f"{kind} {job}")
        if kind == "pill":
            assert fields["failedReason"].splitlines()[0] == "worker died: signal 9 (SIGKILL)"
            assert int(fields["stc"]) == max_crashes + 1
            assert runs == max_crashes + 1
        else:
            # Once beside each death that it saw; a suspect runs alone from then on.
            assert runs <= 1 + int(fields.get("stc", 0))
            assert fields["atm"] == "1"
    # Once a death has made them suspects no job sees a second one: as many deaths as runs of the pills.
    deaths = [line for line in daemon.logged("worker exited") if line["queue"] == "a"]
    assert len(deaths) <= pills * (max_crashes + 1)
    # Rounds went by between all of these deaths, each answered by the same worker.
    assert len(served) > len(deaths)
    assert daemon.worker_pids("b") == [other]
    wait_until(lambda: daemon.status()["state"] == "ready")


def a_round(b) -> str:
    """Have one job of the second queue done: with a worker that does not hang it is a matter of milliseconds."""
    job = b.add()
    fields = b.wait_state(job, "completed", 10)
    # Of its own accord, not after a death or a renewal: at its first start, by nobody's recovery.
    assert (fields["ats"], fields.get("stc")) == ("1", None)
    return job
