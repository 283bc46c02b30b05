"""Scenarios that BullMQ and we act out alike, each a row of steps over any queues; add one here and it is compared.

A step is a list: ["flow", tree], ["add", queue, name, data, opts], ["run", *queues] (until nothing is left), ["run
now", *queues] (until nothing is left but what is delayed), ["runs",
queue, count] (until that many ran), ["retry", queue, id], ["retry_if", queue, id, state] (nothing unless it is in that
state), ["remove", queue, id, with children], ["pause", queue], ["resume", queue], ["schedule", queue, id, repeat,
template] (startIn, endIn: ms from now), ["unschedule", queue, id], ["remove current", queue, scheduler] (the job of its
current iteration). What a job does is
its name: ok, nothing, fail, flaky (fails once), fatal, reads (how many children ended how), adds (takes the steps of
its data while it runs, and `fails` then or not), waits (the same, then waits for its children). `parent.queue` is a
queue's name.
"""

from __future__ import annotations

from typing import Any

Step = list[Any]

FLAGS = ("failParentOnFailure", "continueParentOnFailure", "ignoreDependencyOnFailure", "removeDependencyOnFailure")
ALL = ["run", "c", "p", "g"]
DEDUPLICATED: dict[str, Any] = {"deduplication": {"id": "d"}}
PARKED: dict[str, Any] = {"deduplication": {"id": "d", "keepLastIfActive": True}}


def job(name: str, job_id: str, *children: dict[str, Any], queue: str = "c", **opts: Any) -> dict[str, Any]:
    data = opts.pop("data", {"id": job_id})
    node = {"name": name, "queueName": queue, "data": data, "opts": {"jobId": job_id, **opts}}
    return {**node, "children": list(children)} if children else node


def parent(name: str, *children: dict[str, Any], job_id: str = "P", queue: str = "p", **opts: Any) -> dict[str, Any]:
    return job(name, job_id, *children, queue=queue, **opts)


def child_of(job_id: str, queue: str = "p", **opts: Any) -> dict[str, Any]:
    return {"parent": {"id": job_id, "queue": queue}, **opts}


EVERY = {"every": 40}
FULL = {
    "name": "ok", "data": {"a": "/ü"},
    "opts": {
        "attempts": 3, "backoff": {"type": "fixed", "delay": 20}, "priority": 2, "removeOnComplete": 5, "keepLogs": 3,
    },
}  # fmt: skip
NIGHTLY = {"pattern": "0 15 3 * * *", "tz": "America/New_York"}

SCHEDULES: list[tuple[str, dict[str, Any], dict[str, Any], list[Step]]] = [
    ("every so often", EVERY, FULL, [["runs", "c", 3]]),
    ("without a template", EVERY, {}, [["runs", "c", 2]]),
    ("with a limit", {"every": 30, "limit": 2}, {"name": "ok"}, [["run", "c"]]),
    ("with a limit of one", {"every": 30, "limit": 1}, {"name": "ok"}, [["run", "c"]]),
    ("with an end", {"every": 300, "endIn": 250}, {"name": "ok"}, [["run", "c"]]),
    ("with a start", {"every": 60_000, "startIn": 40}, {"name": "ok"}, [["runs", "c", 1]]),
    ("with a start far off", {"every": 60_000, "startIn": 4_000_000}, {"name": "ok"}, []),
    ("with an offset", {"every": 100_000, "offset": 1234}, {"name": "ok"}, []),
    ("at once and every so often", {"every": 100_000, "immediately": True}, {"name": "ok"}, [["runs", "c", 1]]),
    ("by a pattern", NIGHTLY, FULL, []),
    ("by a pattern in a second", {"pattern": "* * * * * *", "tz": "UTC"}, {"name": "ok"}, [["runs", "c", 2]]),
    ("by a pattern with a limit", {"pattern": "* * * * * *", "tz": "UTC", "limit": 1}, {"name": "ok"}, [["run", "c"]]),
    ("by a pattern, at once", {**NIGHTLY, "immediately": True}, FULL, [["runs", "c", 1]]),
    ("by a pattern with a start", {**NIGHTLY, "startIn": 1_000_000_000, "endIn": 9_000_000_000}, {}, []),
    ("by a pattern past its end", {"pattern": "0 0 0 1 1 *", "tz": "UTC", "endIn": 1000}, {}, []),
    ("fails and is retried", {"every": 60_000}, {"name": "flaky", "opts": {"attempts": 2}}, [["runs", "c", 2]]),
    (
        "fails and is retried later",
        {"every": 60_000},
        {"name": "flaky", "opts": {"attempts": 2, "backoff": {"type": "fixed", "delay": 20}}},
        [["runs", "c", 2]],
    ),
    ("fails for good", {"every": 60_000}, {"name": "fatal", "opts": {"attempts": 2}}, [["runs", "c", 1]]),
    ("with lifo", {"every": 60_000}, {"name": "ok", "opts": {"lifo": True}}, [["add", "c", "ok", {}, {"lifo": True}]]),
    (
        "with a deduplication",
        {"every": 60_000},
        {"name": "ok", "opts": DEDUPLICATED},
        [["add", "c", "ok", {}, DEDUPLICATED], ["runs", "c", 2]],
    ),
    ("not kept", {"every": 60_000}, {"name": "ok", "opts": {"removeOnComplete": True}}, [["runs", "c", 1]]),
    (
        "changed while it waits",
        {"every": 60_000},
        FULL,
        [["schedule", "c", "s", {"every": 60_000}, {"name": "ok", "data": {"b": 2}}], ["runs", "c", 1]],
    ),
    (
        "changed after a run",
        {"every": 60_000},
        FULL,
        [["runs", "c", 1], ["schedule", "c", "s", {"every": 60_000}, {"name": "ok"}]],
    ),
    (
        "with another interval",
        {"every": 60_000},
        FULL,
        [["runs", "c", 1], ["schedule", "c", "s", {"every": 90_000}, {"name": "ok"}], ["runs", "c", 1]],
    ),
    (
        "from an interval to a pattern",
        {"every": 60_000},
        FULL,
        [["runs", "c", 1], ["schedule", "c", "s", NIGHTLY, {"name": "ok"}]],
    ),
    (
        "from a pattern to an interval",
        NIGHTLY,
        FULL,
        [["schedule", "c", "s", {"every": 60_000}, {"name": "ok"}], ["runs", "c", 1]],
    ),
    ("from one pattern to another", NIGHTLY, FULL, [["schedule", "c", "s", {**NIGHTLY, "pattern": "0 4 * * *"}, {}]]),
    ("the same pattern twice", NIGHTLY, FULL, [["schedule", "c", "s", NIGHTLY, FULL]]),
    (
        "changed from within",
        {"every": 60_000},
        {"name": "adds", "data": {"steps": [["schedule", "c", "s", {"every": 60_000}, {"name": "ok"}]]}},
        [["runs", "c", 1]],
    ),
    (
        "removed from within",
        {"every": 60_000},
        {"name": "adds", "data": {"steps": [["unschedule", "c", "s"]]}},
        [["run", "c"]],
    ),
    ("removed while it waits", {"every": 60_000}, FULL, [["unschedule", "c", "s"], ["run", "c"]]),
    ("removed while it is delayed", NIGHTLY, FULL, [["unschedule", "c", "s"], ["unschedule", "c", "s"]]),
    ("removed after a run", {"every": 60_000}, FULL, [["runs", "c", 1], ["unschedule", "c", "s"]]),
    ("whose delayed job is to be removed", NIGHTLY, FULL, [["remove current", "c", "s"]]),
    ("whose waiting job is to be removed", {"every": 60_000}, FULL, [["remove current", "c", "s"]]),
    (
        "in a paused queue",
        {"every": 60_000},
        {"name": "ok"},
        [["pause", "c"], ["schedule", "c", "t", {"every": 60_000}, {"name": "ok"}], ["resume", "c"], ["runs", "c", 2]],
    ),
    (
        "beside another",
        {"every": 50},
        {"name": "ok"},
        [["schedule", "c", "a:b", {"every": 60_000}, {"name": "ok"}], ["runs", "c", 3]],
    ),
    (
        "with telemetry",
        {"every": 30},
        {"name": "ok", "opts": {"telemetry": {"metadata": "M", "omitContext": True}}},
        [["runs", "c", 2]],
    ),
]

SCENARIOS: dict[str, list[Step]] = {
    "two children complete": [["flow", parent("reads", job("ok", "C1"), job("nothing", "C2"))], ALL],
    "all in one queue": [["flow", parent("reads", job("ok", "C1"), job("ok", "C2"), queue="c")], ["run", "c"]],
    "a prioritized parent": [
        ["add", "p", "ok", {}, {"priority": 5}],
        ["flow", parent("reads", job("ok", "C1"), priority=5)], ALL,
    ],
    "a delayed parent": [["flow", parent("reads", job("ok", "C1"), delay=40)], ALL],
    "a delayed child and a prioritized one": [
        ["flow", parent("reads", job("ok", "C1", delay=400), job("ok", "C2", priority=3))], ALL,
    ],
    "a paused parent's queue": [
        ["pause", "p"], ["flow", parent("reads", job("ok", "C1"))], ["run", "c"], ["resume", "p"], ALL,
    ],
    "a tree of three levels": [
        ["flow", parent(
            "reads",
            job("reads", "M1", job("ok", "L1", queue="g"), job("ok", "L2", queue="g"), queue="c"),
            job("ok", "M2", queue="c"),
        )], ALL,
    ],
    "a child that fails once": [["flow", parent("reads", job("flaky", "C1", attempts=2), job("ok", "C2"))], ALL],
    "children not kept": [
        ["flow", parent("reads", job("ok", "C1", removeOnComplete=True), job("ok", "C2", removeOnComplete=True))], ALL,
    ],
    "a failed child not kept releases its parent": [
        ["flow", parent("reads", job("fail", "C1", removeOnFail=True), priority=3)], ALL,
    ],
    "a child trimmed away releases its parent": [
        ["flow", parent("reads", job("fail", "C1"))], ["run", "c"],
        ["add", "c", "fail", {}, {"jobId": "X", "removeOnFail": 1}], ALL,
    ],
    "a child that fails without a flag": [["flow", parent("reads", job("fail", "C1"), job("ok", "C2"))], ALL],
    **{
        f"{flag} {where}": [["flow", parent("reads", *children)], ALL]
        for flag in FLAGS
        for where, children in {
            "alone": [job("fail", "C1", **{flag: True})],
            "first of two": [job("fail", "C1", **{flag: True}), job("ok", "C2")],
            "last of two": [job("ok", "C1"), job("fail", "C2", **{flag: True})],
            "both": [job("fail", "C1", **{flag: True}), job("fail", "C2", **{flag: True})],
            "not kept": [job("fail", "C1", removeOnFail=True, **{flag: True}), job("ok", "C2")],
        }.items()
    },
    **{
        f"{flag} through three levels": [
            ["flow", parent("reads", job("reads", "M", job("fail", "L", queue="g", **{flag: True}), **{flag: True}))],
            ALL,
        ]
        for flag in FLAGS
    },
    "a parent that runs while a child of it fails": [
        ["add", "p", "adds", {"steps": [
            ["add", "c", "fail", {}, child_of("P", jobId="C1", failParentOnFailure=True)], ["run", "c"],
        ]}, {"jobId": "P", "attempts": 3}], ALL,
    ],
    **{
        f"a parent that completes when its failed child was removed, {how}": [
            ["add", "p", "adds", {"steps": [
                ["add", "c", "fail", {}, child_of("P", jobId="C1", failParentOnFailure=True)], ["run", "c"],
                ["remove", "c", "C1"],
            ]}, {"jobId": "P", **opts}], ALL,
        ]
        for how, opts in {"plain": {}, "deduplicated": {"deduplication": {"id": "d"}}}.items()
    },
    "a parent that completes too early": [
        ["add", "p", "adds", {"steps": [["add", "c", "ok", {}, child_of("P", jobId="C1")]]},
         {"jobId": "P", "attempts": 2}],
        ["run", "p"], ALL,
    ],
    "a parent that adds children and waits": [
        ["add", "p", "waits", {"steps": [
            ["add", "c", "ok", {}, child_of("P", jobId="C1")], ["add", "c", "ok", {}, child_of("P", jobId="C2")],
        ]}, {"jobId": "P"}], ALL,
    ],
    "a parent that waits for a child that failed already": [
        ["add", "p", "waits", {"steps": [
            ["add", "c", "fail", {}, child_of("P", jobId="C1", failParentOnFailure=True)],
            ["add", "c", "ok", {}, child_of("P", jobId="C2")], ["run", "c"],
        ]}, {"jobId": "P", "attempts": 3}], ALL,
    ],
    "a child of nobody": [["add", "c", "ok", {}, child_of("nowhere", jobId="C1")], ["add", "c", "ok", {}, {}], ALL],
    "an existing waiting job becomes a child": [
        ["add", "c", "ok", {}, {"jobId": "C1"}], ["flow", parent("reads", job("ok", "C1"), job("ok", "C2"))], ALL,
    ],
    "a running job becomes a child": [
        ["add", "c", "adds", {"steps": [["flow", parent("reads", job("ok", "C1"))]]}, {"jobId": "C1"}], ALL,
    ],
    "an existing completed job becomes a child": [
        ["add", "c", "ok", {}, {"jobId": "C1"}], ["run", "c"],
        ["flow", parent("reads", job("ok", "C1"))], ["run", "c", "p"],
        ["flow", parent("reads", job("ok", "C1"), job_id="Q")], ALL,
    ],
    "a completed job is added to a parent that waits": [
        ["add", "c", "ok", {}, {"jobId": "C1"}], ["run", "c"],
        ["flow", parent("reads", job("ok", "C2"))], ["add", "c", "ok", {}, child_of("P", jobId="C1")], ALL,
    ],
    "a failed job becomes a child and is retried": [
        ["add", "c", "flaky", {}, {"jobId": "C1"}], ["run", "c"], ["flow", parent("reads", job("ok", "C1"))],
        ["run", "c", "p"], ["retry", "c", "C1"], ALL,
    ],
    "a child of another parent stays with it": [
        ["flow", parent("reads", job("ok", "C1"))], ["flow", parent("reads", job("ok", "C1"), job_id="Q")],
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2"), job_id="R")],
        ["add", "c", "ok", {}, child_of("R", jobId="C1")], ALL,
    ],
    "a child whose parent is gone is adopted": [
        ["flow", parent("reads", job("ok", "C1"))], ["remove", "p", "P", False],
        ["flow", parent("reads", job("ok", "C1"), job_id="Q")], ALL,
    ],
    "the same flow twice": [
        ["flow", parent("reads", job("ok", "C1"))], ["flow", parent("reads", job("ok", "C1"))], ALL,
        ["flow", parent("reads", job("ok", "C1"))], ALL,
    ],
    "a flow below an existing parent": [
        ["flow", parent("reads", job("ok", "C1"))],
        ["flow", job("reads", "M", job("ok", "L", queue="g"), **child_of("P"))], ALL,
    ],
    "a flow below nobody": [["flow", job("reads", "M", job("ok", "L", queue="g"), **child_of("nowhere"))], ALL],
    "a failed child is retried": [
        ["flow", parent("reads", job("flaky", "C1"))], ["run", "c", "p"], ["retry", "c", "C1"], ALL,
    ],
    **{
        f"a child retried after {flag}": [
            ["flow", parent("reads", job("flaky", "C1", **{flag: True}), job("ok", "C2"))], ALL,
            ["retry", "c", "C1"], ALL,
        ]
        for flag in FLAGS
    },
    "a completed child is retried": [
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2", delay=600))], ["pause", "g"],
        ["add", "c", "adds", {"steps": [["retry", "c", "C1", "completed"]]}, {"jobId": "X"}], ALL,
    ],
    "a waiting child is removed": [
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2"))], ["remove", "c", "C1"], ["remove", "c", "C2"], ALL,
    ],
    "a prioritized parent of a removed child": [
        ["flow", parent("reads", job("ok", "C1"), priority=4, delay=9000)], ["remove", "c", "C1"], ["run", "c", "p"],
    ],
    "a tree is removed": [
        ["flow", parent("reads", job("reads", "M1", job("ok", "L1", queue="g")), job("ok", "M2", queue="m"))],
        ["remove", "p", "P"], ALL,
    ],
    "a tree that ran is removed": [
        ["flow", parent(
            "reads", job("reads", "M1", job("ok", "L1", queue="g")), job("fail", "M2", **{FLAGS[2]: True}),
        )],
        ALL, ["remove", "p", "P"],
    ],
    "a failed tree is removed": [
        ["flow", parent("reads", job("fail", "C1", **{FLAGS[0]: True}), job("fail", "C2"))], ALL, ["remove", "p", "P"],
    ],
    "a parent is removed and its children stay": [
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2"))], ["run", "c"], ["remove", "p", "P", False],
    ],
    "the middle of a tree is removed": [
        ["flow", parent("reads", job("reads", "M1", job("ok", "L1", queue="g")))], ["remove", "c", "M1"], ALL,
    ],
    "a tree with a running job stays": [
        ["flow", parent("reads", job("adds", "C1", data={"steps": [["remove", "p", "P"]]}), job("ok", "C2"))], ALL,
    ],
    "deduplication ends with the job": [
        ["add", "c", "ok", {}, DEDUPLICATED], ["add", "c", "ok", {}, DEDUPLICATED], ["run", "c"],
        ["add", "c", "fail", {}, DEDUPLICATED], ["add", "c", "ok", {}, DEDUPLICATED], ["run", "c"],
        ["add", "c", "ok", {}, DEDUPLICATED],
    ],
    "deduplication for a time outlives the job": [
        ["add", "c", "ok", {}, {"deduplication": {"id": "d", "ttl": 60_000}}], ["run", "c"],
        ["add", "c", "ok", {}, {"deduplication": {"id": "d", "ttl": 60_000}}],
    ],
    "deduplication through a retry": [
        ["add", "c", "flaky", {}, {"attempts": 2, "jobId": "A", **DEDUPLICATED}],
        ["add", "c", "adds", {"steps": [["add", "c", "ok", {}, DEDUPLICATED]]}, {"jobId": "B"}], ["run", "c"],
        ["add", "c", "ok", {}, DEDUPLICATED],
    ],
    "a failed owner is retried by hand": [
        ["add", "c", "flaky", {}, {"jobId": "A", **DEDUPLICATED}], ["run", "c"], ["add", "c", "ok", {}, DEDUPLICATED],
        ["retry", "c", "A"], ["add", "c", "ok", {}, DEDUPLICATED], ["run", "c"],
    ],
    "the owner is removed": [
        ["add", "c", "ok", {}, {"jobId": "A", **DEDUPLICATED}], ["remove", "c", "A"],
        ["add", "c", "ok", {}, DEDUPLICATED],
    ],
    "an owner that is not kept": [
        ["add", "c", "ok", {}, {"removeOnComplete": True, **DEDUPLICATED}], ["run", "c"],
        ["add", "c", "fail", {}, {"removeOnFail": True, **DEDUPLICATED}], ["run", "c"],
    ],
    **{
        f"parked behind a job that {how}": [
            ["add", "c", "adds", {"steps": [
                ["add", "c", "ok", {"n": 1}, PARKED], ["add", "c", "ok", {"n": 2}, {"priority": 2, **PARKED}],
            ], "fails": fails}, {"jobId": "A", **more, **PARKED}],
            ["run", "c"],
        ]
        for how, fails, more in (
            ("completes", False, {}), ("fails", True, {}), ("is retried", True, {"attempts": 2}),
            ("is retried later", True, {"attempts": 2, "backoff": 20}),
            ("is not kept", False, {"removeOnComplete": True}),
        )
    },
    "parked with another id and a delay": [
        ["add", "c", "adds", {"steps": [["add", "c", "ok", {}, {"jobId": "N", "delay": 20, **PARKED}]]},
         {"jobId": "A", **PARKED}],
        ["run", "c"],
    ],
    **{
        f"a schedule {how}": [["schedule", "c", "s", repeat, template], *then]
        for how, repeat, template, then in SCHEDULES
    },
}  # fmt: skip
