"""What the scripts answer per job: BullMQ's numbers (docs/wire-format.md, "Codes"), listed here once."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The answer of a script about one job. Negative: refused, and nothing of that job was changed.

    A finish that finds its job deleted (MISSING_JOB) takes the id out of active and drops its own lock.
    """

    OK = 0
    MISSING_JOB = -1
    MISSING_LOCK = -2
    WRONG_STATE = -3
    PENDING_CHILDREN = -4
    MISSING_PARENT = -5
    LOCK_OF_ANOTHER = -6
    PARENT_TAKEN = -7
    SCHEDULER_JOB = -8
    FAILED_CHILDREN = -9
    ITERATION_EXISTS = -10
    SLOTS_TAKEN = -11


SETTLED = frozenset({Code.MISSING_JOB, Code.MISSING_LOCK, Code.WRONG_STATE, Code.LOCK_OF_ANOTHER})
"""Answers to a finish that was sent twice which mean: this attempt is over, for us or for another."""
