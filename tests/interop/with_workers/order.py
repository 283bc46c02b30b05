"""Who runs when: priorities, LIFO, delays, and what is changed while it waits or runs."""

from __future__ import annotations

from tests.interop.with_workers import add, does, worked

COMPAT = "order: priorities, LIFO, delays, changes while it waits or runs"
HELD = does([["note", "held"], ["gate", "go"], ["return", "held"]])


def beside(*steps: list[object], data: object = HELD, **opts: object) -> list[list[object]]:
    """These steps while a job runs."""
    return [
        add(data, jobId="held", **opts),
        ["work", "q", {}],
        ["noted", "held"],
        *steps,
        ["open", "go"],
        ["idle", "q"],
    ]


ROWS = {
    "first in, first out": worked(*(add(n) for n in range(5))),
    "last in, first out": worked(*(add(n, lifo=True) for n in range(4)), add(9)),
    "priorities": worked(*(add(p, priority=p) for p in (3, 1, 2, 2097151, 1)), add("none")),
    "priorities in a bulk": [
        ["bulk", "q", [{"name": "j", "data": p, "opts": {"priority": p} if p else {}} for p in (4, 0, 2, 1, 0)]],
        *worked(),
    ],
    "priority is changed while it waits": worked(
        *(add(n, jobId=n, priority=5) for n in ("a", "b", "c")), ["priority", "q", "c", {"priority": 1}],
        ["priority", "q", "a", {"priority": 0}],
    ),
    "priority is changed to the front": worked(
        *(add(n, jobId=n, priority=5) for n in ("a", "b", "c")), ["priority", "q", "c", {"priority": 5, "lifo": True}],
    ),
    "priority is given to one that waits": worked(
        *(add(n, jobId=n) for n in ("a", "b", "c")), ["priority", "q", "a", {"priority": 3}],
    ),
    "delays": worked(*(add(n, delay=n) for n in (900, 300, 600)), add("now"), ["due", "q"]),
    "delays with priorities": worked(
        add(1, delay=30, priority=9), add(2, delay=30, priority=1), add(3, delay=30), ["due", "q"],
    ),
    "a worker that waits wakes for a delay": [["work", "q", {}], add(1, delay=50), ["idle", "q"]],
    "a worker that waits wakes for an earlier delay": [
        ["work", "q", {}], add(1, delay=4000, jobId="late"), add(2, delay=30), ["state", "q", "completed", 1],
        ["remove", "q", "late"], ["idle", "q"],
    ],
    "a delay is changed": [
        add(1, delay=60_000, jobId="a"), ["work", "q", {}], ["delay", "q", "a", 20], ["idle", "q"],
    ],
    "one is promoted": [
        add(1, delay=60_000, jobId="a"), add(2, delay=60_000, priority=3, jobId="b"), ["work", "q", {}],
        ["promote", "q", "a"], ["state", "q", "completed", 1], ["promote", "q", "b"], ["idle", "q"],
    ],
    "all are promoted": [*(add(n, delay=60_000) for n in range(3)), ["promote all", "q"], *worked()],
    "later by itself": worked(add(does([["later", 30]], [["return", 1]]), attempts=1), add(2)),
    "later by itself with a priority": worked(add(does([["later", 30]], [["return", 1]]), priority=2), add(2)),
    "later by itself, then fails": worked(add(does([["later", 20]], [["throw", "x"]], [["return", 1]]), attempts=2)),
    "later by itself twice": worked(add(does([["later", 10]], [["later", 20]], [["return", 1]]))),
    **{
        f"again at once, {opts}": worked(
            add(does([["again"]], [["again"]], [["return", 1]]), **opts), add(2), add(3, priority=2),
        )
        for opts in ({}, {"priority": 2}, {"lifo": True}, {"attempts": 1})
    },
    "again at once, then fails": worked(add(does([["again"]], [["throw", "x"]], [["return", 1]]), attempts=2), add(2)),
    "jobs come while one runs": beside(
        add(1), add(2, priority=1), add(3, lifo=True), add(4, delay=20), ["due", "q"],
    ),
    "a retry at once comes behind what has become due": beside(
        add(1, delay=20), add(2, delay=20), ["due", "q"],
        data=does([["note", "held"], ["gate", "go"], ["throw", "boom"]], [["return", 1]]), attempts=2,
    ),
    "a retry at once goes before what is due with a worse priority": beside(
        add(1, delay=20, priority=2), add(2, delay=20, priority=2), ["due", "q"],
        data=does([["note", "held"], ["gate", "go"], ["throw", "boom"]], [["return", 1]]), attempts=2, priority=1,
    ),
    "a running one is changed": beside(["data", "q", "held", {"new": 1}], ["priority", "q", "held", {"priority": 4}]),
    "a waiting one is removed": beside(add(1, jobId="a"), add(2, priority=1, jobId="b"), ["remove", "q", "a"],
                                       ["remove", "q", "b"]),
    "the queue is emptied": beside(add(1), add(2, priority=1), add(3, delay=50), ["empty", "q"]),
    "the queue is emptied of delays": beside(add(1), add(3, delay=5000), ["empty", "q", True]),
    "what has completed is cleaned": [
        *worked(add(1), add(2)), ["clean", "q", "completed", 0, 0], add(3), ["idle", "q"],
    ],
    "the same id again while it runs": beside(add(1, jobId="held"), add(2)),
    "the same id again when done": [*worked(add(1, jobId="a")), add(2, jobId="a"), add(3), ["idle", "q"]],
}  # fmt: skip
