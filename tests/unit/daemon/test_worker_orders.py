"""What is made of a worker's stacks."""

from __future__ import annotations

from jobd.daemon.worker_orders import part_of

STACKS = (
    'thread MainThread\n  File "jobd/life.py", line 1, in run\n\n'
    'thread slot-0 runs job 7 (x)\n  File "shop.py", line 3, in send\n    thread = None\n\n'
    'thread slot-1 runs job 77 (x)\n  File "shop.py", line 9, in other\n'
)


def test_the_part_of_a_job_is_what_its_thread_or_task_says():
    assert part_of(STACKS, "7").splitlines()[:2] == [
        "thread slot-0 runs job 7 (x)",
        '  File "shop.py", line 3, in send',
    ]
    assert "line 9" not in part_of(STACKS, "7")


def test_everything_is_told_when_nothing_is_marked_as_the_jobs():
    assert part_of(STACKS, "8") == STACKS
