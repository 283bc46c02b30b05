"""Scenarios that BullMQ and we act out alike, each a row of steps over any queues; add one here and it is compared.

A step is a list: ["flow", tree], ["add", queue, name, data, opts], ["run", *queues] (until nothing is left),
["retry", queue, id], ["remove", queue, id, with children], ["pause", queue], ["resume", queue]. What a job does is
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


SCENARIOS: dict[str, list[Step]] = {
    "two children complete": [["flow", parent("reads", job("ok", "C1"), job("nothing", "C2"))], ALL],
    "all in one queue": [["flow", parent("reads", job("ok", "C1"), job("ok", "C2"), queue="c")], ["run", "c"]],
    "a prioritized parent": [
        ["add", "p", "ok", {}, {"priority": 5}],
        ["flow", parent("reads", job("ok", "C1"), priority=5)], ALL,
    ],
    "a delayed parent": [["flow", parent("reads", job("ok", "C1"), delay=40)], ALL],
    "a delayed child and a prioritized one": [
        ["flow", parent("reads", job("ok", "C1", delay=30), job("ok", "C2", priority=3))], ALL,
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
        ["flow", parent("reads", job("ok", "C1"), job("ok", "C2", delay=60))], ["pause", "g"],
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
}  # fmt: skip
