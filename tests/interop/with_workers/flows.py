"""Parents and children, run by one worker for each queue, one queue after the other."""

from __future__ import annotations

from typing import Any

from tests.interop.scenarios import FLAGS
from tests.interop.with_workers import FAILS, FLAKY, Step, does

COMPAT = "flows: results, the four failure modes, children from a handler"
READS = does([["children"]])


def node(data: Any = None, *children: dict[str, Any], queue: str = "c", **opts: Any) -> dict[str, Any]:
    found = {"name": "node", "queueName": queue, "data": data, "opts": opts}
    return {**found, "children": list(children)} if children else found


def flow(*children: dict[str, Any], **opts: Any) -> Step:
    return ["flow", node(READS, *children, queue="p", jobId="P", **opts)]


def ran(*steps: Step, queues: tuple[str, ...] = ("c", "p")) -> list[Step]:
    """The steps, then the queues' workers, each when the one before has done all it can."""
    return [*steps, *(step for queue in queues for step in (["work", queue, {}], ["idle", queue]))]


def child(data: Any, job_id: str, **opts: Any) -> Step:
    return ["add", "c", "node", data, {"jobId": job_id, "parent": {"id": "P", "queue": "p"}, **opts}]


HELD_BY_CHILDREN = does(
    [["add", "c", "node", 1, {"jobId": "C1", "parent": {"id": "P", "queue": "p"}}], ["wait"]], [["children"]],
)  # fmt: skip


def minded(*acts: Step, **opts: Any) -> Step:
    """A parent that adds a child whose failure is to fail it, then does the acts; its children at the second start."""
    parent = {"jobId": "C1", "parent": {"id": "P", "queue": "p"}, "failParentOnFailure": True}
    program = does([["add", "c", "node", FAILS, parent], *acts], [["children"]])
    return ["add", "p", "node", program, {"jobId": "P", **opts}]


HELD = (["note", "in"], ["gate", "go"])
FAILS_IT = [["work", "c", {}], ["state", "c", "failed", 1]]
LIMITER = {"limiter": {"max": 100, "duration": 10_000}}

ROWS = {
    "two results": ran(flow(node({"r": 1}, jobId="C1"), node("text", jobId="C2"))),
    "no result and none at all": ran(flow(node(does([]), jobId="C1"), node(does([["return", None]]), jobId="C2"))),
    **{
        f"{flag}, the {which} fails": ran(
            flow(*(node(FAILS if n == at else n, jobId=f"C{n}", **{flag: True}) for n in range(3))),
        )
        for flag in FLAGS for which, at in (("first", 0), ("last", 2))
    },
    **{
        f"{flag} after retries": ran(flow(node(FAILS, jobId="C1", attempts=3, **{flag: True}))) for flag in FLAGS
    },
    **{
        f"{flag} but it succeeds at last": ran(flow(node(FLAKY, jobId="C1", attempts=2, **{flag: True})))
        for flag in FLAGS
    },
    **{
        f"{flag} over four levels": ran(
            flow(node(READS, node(READS, node(FAILS, jobId="L", queue="d", **{flag: True}), jobId="M2", queue="e",
                                  **{flag: True}), jobId="M1", **{flag: True})),
            queues=("d", "e", "c", "p"),
        )
        for flag in FLAGS
    },
    **{
        f"{flag} while its parent has attempts left": ran(
            flow(node(FAILS, jobId="C1", **{flag: True}), attempts=3, backoff=10),
        )
        for flag in FLAGS
    },
    "a failing child that nobody minds": ran(flow(node(FAILS, jobId="C1"), node(1, jobId="C2"))),
    "a prioritized parent": ran(["add", "p", "x", 1, {"priority": 5}], flow(node(1, jobId="C1"), priority=2)),
    "a delayed parent": ran(flow(node(1, jobId="C1"), delay=30)),
    "children not kept": ran(flow(node(1, jobId="C1", removeOnComplete=True), node(FAILS, jobId="C2",
                                                                               removeOnFail=True))),
    "a paused parent": [["pause", "p"], *ran(flow(node(1, jobId="C1")), queues=("c",)), ["work", "p", {}],
                        ["resume", "p"], ["idle", "p"]],
    "one of the queue itself": ran(
        ["flow", node(READS, node(1, jobId="C1"), node(2, jobId="C2"), jobId="P")], queues=("c",),
    ),
    "children from within, then it waits": [
        ["add", "p", "node", HELD_BY_CHILDREN, {"jobId": "P"}], ["work", "p", {}],
        ["state", "p", "waiting-children", 1], ["work", "c", {}], ["state", "p", "completed", 1],
    ],
    "completes with children pending": [
        ["add", "p", "node", does([HELD_BY_CHILDREN["runs"][0][0]], [["children"]]), {"jobId": "P", "attempts": 2}],
        ["work", "p", {}], ["idle", "p"], ["work", "c", {}], ["idle", "c"],
    ],
    "a child fails while its parent is delayed": [
        minded(["later", 60_000]), ["work", "p", {}], ["state", "p", "delayed", 1], *FAILS_IT,
        ["state", "p", "failed", 1],
    ],
    "a child fails while its parent waits for a limit": [
        minded(["limited", 500], priority=5), ["work", "p", LIMITER], ["state", "p", "prioritized", 1], *FAILS_IT,
        ["state", "p", "failed", 1],
    ],
    **{
        f"a child fails while its parent runs, which then {what}": [
            minded(*HELD, *acts, attempts=3), ["work", "p", {}], ["noted", "in"], *FAILS_IT, ["open", "go"],
            ["state", "p", "failed", 1],
        ]
        for what, acts in (("waits", [["wait"]]), ("ends", []))
    },
    "a child is added to a parent that waits": ran(flow(node(1, jobId="C1")), child(2, "C2")),
    "a child completes while its parent is being removed": ran(
        flow(node(1, jobId="C1")), ["remove", "p", "P", False], queues=("c",),
    ),
    "unprocessed children are taken away": ran(
        flow(node(1, jobId="C1")), ["children away", "p", "P"], ["state", "p", "waiting-children", 0],
    ),
    "a child leaves its parent": ran(flow(node(1, jobId="C1"), node(2, jobId="C2")), ["leave parent", "c", "C1"]),
    "a failed parent is retried": [
        *ran(flow(node(FLAKY, jobId="C1", failParentOnFailure=True))), ["retry", "c", "C1"], ["idle", "c"],
        ["retry", "p", "P"], ["idle", "p"],
    ],
}  # fmt: skip
