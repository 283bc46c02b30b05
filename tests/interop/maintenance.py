"""Scenarios of maintenance by hand, in the steps of scenarios.py and these.

["delay", queue, id, ms], ["priority", queue, id, {priority, lifo}], ["data", queue, id, data], ["promote", queue, id],
["orphans", queue], ["empty", queue, delayed], ["clean", queue, BullMQ's state, grace in ms, limit (0 none)],
["obliterate", queue, force], ["log", queue, id, line], ["nowhere", queue, id] (it leaves `wait`), ["half gone", queue,
id] (its hash is lost), ["lose", queue] (the next job is taken, and its lock is gone), ["stalled", queue, how
often a job may stall] (one look of those that are taken every 30 seconds).
"""

from __future__ import annotations

from tests.interop.scenarios import ALL, DEDUPLICATED, FLAGS, Step, job, parent

EVERY_STATE: list[Step] = [
    ["add", "c", "ok", {}, {"jobId": "D1"}], ["add", "c", "fail", {}, {"jobId": "F1"}], ["run", "c"],
    ["add", "c", "ok", {}, {"jobId": "W1"}], ["add", "c", "ok", {}, {"jobId": "W2", **DEDUPLICATED}],
    ["add", "c", "ok", {}, {"jobId": "P1", "priority": 3}], ["add", "c", "ok", {}, {"jobId": "L1", "delay": 90_000}],
]  # fmt: skip

STATES = ("wait", "prioritized", "delayed", "completed", "failed")

MAINTENANCE: dict[str, list[Step]] = {
    "a queue is emptied": [*EVERY_STATE, ["empty", "c"]],
    "a queue is emptied, delayed jobs too": [*EVERY_STATE, ["empty", "c", True], ["add", "c", "ok", {}, DEDUPLICATED]],
    "a paused queue is emptied": [["pause", "c"], *EVERY_STATE, ["empty", "c"], ["resume", "c"]],
    "an empty queue is emptied": [["add", "c", "ok", {}, {}], ["run", "c"], ["empty", "c", True]],
    "the children of a parent elsewhere are emptied": [
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2", priority=2))], ["empty", "c"], ["run", "p"],
    ],
    "one of two children is emptied": [
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2", delay=30))], ["empty", "c"], ALL,
    ],
    "the children of a parent here are emptied": [
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2"), queue="c")], ["empty", "c"],
    ],
    "a tree of one queue is emptied": [
        ["flow", parent("reads", job("reads", "M", job("ok", "L1"), job("ok", "L2")), queue="c")], ["empty", "c"],
    ],
    "the middle of a tree goes with its leaves": [
        ["flow", parent("reads", job("reads", "M", job("ok", "L1")))], ["empty", "c"], ["run", "p"],
    ],
    "a prioritized parent elsewhere is released by emptying": [
        ["flow", parent("reads", job("ok", "C1"), priority=4, delay=9000)], ["empty", "c"],
    ],
    **{f"{state} is cleaned": [*EVERY_STATE, ["clean", "c", state, 0, 0]] for state in STATES},
    **{f"{state} is too young to be cleaned": [*EVERY_STATE, ["clean", "c", state, 60_000, 0]] for state in STATES},
    "the oldest two are cleaned": [
        *(["add", "c", "ok", {}, {"jobId": name}] for name in "ABCDE"), ["run", "c"], ["clean", "c", "completed", 0, 2],
    ],
    "the next two to run are cleaned": [
        *(["add", "c", "ok", {}, {"jobId": name}] for name in "ABCDE"), ["clean", "c", "wait", 0, 2], ["run", "c"],
    ],
    "a failed child is cleaned": [
        ["flow", parent("reads", job("fail", "C1"), job("ok", "C2"))], ["run", "c"],
        ["clean", "c", "failed", 0, 0], ALL,
    ],
    "a running job is not cleaned": [
        ["add", "c", "adds", {"steps": [["clean", "c", "active", 0, 0]]}, {"jobId": "A"}], ["run", "c"],
    ],
    "a queue is obliterated": [*EVERY_STATE, ["obliterate", "c"]],
    "an empty queue is obliterated": [["add", "c", "ok", {}, {}], ["run", "c"], ["obliterate", "c"]],
    "a queue of children is obliterated": [
        ["flow", parent("reads", job("ok", "C1"), job("fail", "C2", **{FLAGS[0]: True}))],
        ["obliterate", "c"], ["run", "p"],
    ],
    "a queue with a whole flow is obliterated": [
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2"), queue="c")], ["obliterate", "c"],
    ],
    "a delay is changed": [
        *EVERY_STATE, ["add", "c", "ok", {}, {"jobId": "L2", "delay": 120_000}], ["delay", "c", "L2", 60_000],
        ["delay", "c", "L1", 20], ["delay", "c", "W1", 20],
    ],
    "a delay is changed to nothing": [
        ["add", "c", "ok", {}, {"jobId": "L1", "delay": 90_000}], ["delay", "c", "L1", 0], ["run", "c"],
    ],
    **{
        f"a priority is changed to {how} {where}": [
            *([["pause", "c"]] if where == "while paused" else []),
            *EVERY_STATE, ["add", "c", "ok", {}, {"jobId": "P2", "priority": 3}],
            *(["priority", "c", job_id, how] for job_id in ("W1", "P1", "L1", "F1", "P2")),
        ]
        for where in ("in every state", "while paused")
        for how in ({"priority": 0}, {"priority": 0, "lifo": True}, {"priority": 3}, {"priority": 3, "lifo": True})
    },
    "data is changed": [*EVERY_STATE, *(["data", "c", job_id, {"n": [1]}] for job_id in ("W1", "D1", "L1"))],
    "delayed jobs are promoted": [
        ["add", "c", "ok", {}, {"jobId": "L1", "delay": 90_000}],
        ["add", "c", "ok", {}, {"jobId": "L2", "delay": 90_000, "priority": 2}],
        ["add", "c", "ok", {}, {"jobId": "W1"}], ["promote", "c", "L1"], ["promote", "c", "L2"], ["promote", "c", "W1"],
    ],
    **{
        f"a job whose worker died {times} times, {most} allowed{how}": [
            ["add", "c", "ok", {}, {"jobId": "A", **opts}], ["add", "c", "ok", {}, {"jobId": "B"}],
            *([["lose", "c"], ["stalled", "c", most], ["stalled", "c", most]] * times), ["run", "c"],
        ]
        for times, most in ((1, 1), (2, 1), (1, 0), (3, 2))
        for how, opts in (("", {}), (", not kept", {"removeOnFail": True}), (", with attempts", {"attempts": 3}))
    },
    "a child whose worker died fails its parent": [
        ["flow", parent("reads", job("ok", "C1", **{FLAGS[0]: True}))], ["lose", "c"], ["stalled", "c", 0],
        ["stalled", "c", 0], ALL,
    ],
    "a prioritized job whose worker died": [
        ["add", "c", "ok", {}, {"jobId": "A", "priority": 3}], ["add", "c", "ok", {}, {"jobId": "B", "priority": 3}],
        ["lose", "c"], ["stalled", "c", 1], ["stalled", "c", 1], ["run", "c"],
    ],
    "a job whose worker died while the queue was paused": [
        ["add", "c", "ok", {}, {"jobId": "A"}], ["lose", "c"], ["pause", "c"], ["stalled", "c", 1], ["stalled", "c", 1],
        ["resume", "c"], ["run", "c"],
    ],
    "one look is not enough": [["add", "c", "ok", {}, {"jobId": "A"}], ["lose", "c"], ["stalled", "c", 1]],
    **{
        f"the owner of a deduplication id was lost, {how}": [
            ["add", "c", "ok", {}, {"jobId": "A", **deduplicated}], ["nowhere", "c", "A"], ["half gone", "c", "A"],
            *(["add", "c", "ok", {}, {"jobId": job_id, **deduplicated}] for job_id in ("B", "C")),
            ["run", "c"], ["add", "c", "ok", {}, {"jobId": "D", **deduplicated}],
        ]
        for how, deduplicated in {
            name: {"deduplication": {"id": "d", **mode}}
            for name, mode in (
                ("simple", {}), ("ttl", {"ttl": 60_000}), ("extend", {"ttl": 60_000, "extend": True}),
                ("replace", {"replace": True}), ("reschedule", {"reschedule": True}),
                ("keepLastIfActive", {"keepLastIfActive": True}),
            )
        }.items()
    },
    "what is nowhere is an orphan, and what is left of one": [
        ["add", "c", "ok", {}, {"jobId": "A"}], ["log", "c", "A", "line"], ["add", "c", "ok", {}, {"jobId": "B"}],
        ["log", "c", "B", "line"], ["add", "c", "ok", {}, {"jobId": "C"}], ["log", "c", "C", "line"],
        ["nowhere", "c", "A"], ["nowhere", "c", "B"], ["half gone", "c", "B"], ["orphans", "c"], ["run", "c"],
    ],
    "nothing is an orphan": [
        *EVERY_STATE, ["flow", parent("reads", job("ok", "C1"), job("ok", "C2"))], ["orphans", "c"], ["orphans", "p"],
    ],
}  # fmt: skip
