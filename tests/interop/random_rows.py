"""Rows of steps drawn from one seed: of everything that clients can do, a part in each row, in any order.

Nothing in a row becomes due by itself: what is delayed is so for good, and no limit ends, so that no slow machine makes
one side meet what the other does not.
"""

from __future__ import annotations

import random
from typing import Any

from tests.interop.scenarios import FLAGS, NIGHTLY, Step, job

QUEUES = ("c", "p", "g")
IDS = ("A", "B", "C", "D", "E")
NAMES = ("ok", "ok", "nothing", "fail", "flaky", "fatal", "reads")
SCHEDULES = ("s", "t")
ONCE = {"every": 60_000, "limit": 1}
FAR = 6_000_000
MODES: tuple[dict[str, Any], ...] = (
    {}, {"ttl": FAR}, {"ttl": FAR, "extend": True}, {"ttl": FAR, "extend": True, "replace": True}, {"replace": True},
    {"reschedule": True}, {"keepLastIfActive": True}, {"keepLastIfActive": True, "ttl": FAR},
)  # fmt: skip

GROUPS: dict[str, tuple[str, ...]] = {
    "flows": ("flow", "flow", "flow"),
    "plain adds": ("one", "one"),
    "bulks": ("bulk",),
    "adds from within": ("within", "within"),
    "runs": ("run", "run"),
    "pauses": ("pause", "resume"),
    "retries by hand": ("retry_if", "retry_if"),
    "schedules": ("schedule", "unschedule", "schedule"),
    "removals": ("remove", "remove tree"),
    "changes": ("priority", "delay", "data", "promote"),
    "clearing": ("empty", "clean"),
    "lost jobs": ("lost",),
    "limits": ("limit", "global limit", "no limit"),
}
"""What a row may be made of; the features that `docs/bullmq-compatibility.md` names for random rows."""


class Row:
    """A row of steps; every id has a queue of its own, so that a name finds it again.

    A child comes after its parent in the alphabet: BullMQ's removal of a flow that is a circle does not end.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.steps: list[Step] = []
        self._deduplicates, self._delays = (self._random.random() < 0.4 for _ in range(2))
        groups = [group for group in GROUPS.values() if self._random.random() < 0.6]
        kinds = [kind for group in (GROUPS["plain adds"], *groups) for kind in group]
        for _ in range(self._random.randint(4, 14)):
            self._add(self._random.choice(kinds))
        self.steps += [step for queue in QUEUES for step in (["resume", queue], ["no limit", queue])]
        self.steps.append(self._run())

    def _add(self, kind: str) -> None:
        if kind == "lost":
            queue = self._random.choice(QUEUES)
            looks = [["stalled", queue, self._random.choice((0, 1))]] * 2
            self.steps += [["lose", queue], *looks]
        elif kind == "limit":
            # By hand. Without another limit, BullMQ's worker does not look whether there is one.
            queue = self._random.choice(QUEUES)
            self.steps += [["global limit", queue, 1000, FAR], ["limit", queue, FAR]]
        else:
            self.steps.append(getattr(self, f"_{kind.replace(' ', '_')}")())

    def _run(self) -> Step:
        return ["run now", *QUEUES]

    # --- adds ---

    def _flow(self) -> Step:
        return ["flow", self._tree(sorted(self._random.sample(IDS, self._random.randint(2, 4))), 0)]

    def _one(self) -> Step:
        draw, job_id = self._random, self._random.choice(IDS)
        opts = {"jobId": job_id, **self._options()}
        if job_id != IDS[0] and draw.random() < 0.3:
            opts["parent"] = self._parent(draw.choice(IDS[: IDS.index(job_id)]))
        else:
            opts |= self._deduplication()
        return ["add", self._queue(job_id), draw.choice(NAMES), {"id": job_id}, opts]

    def _bulk(self) -> Step:
        draw, queue = self._random, self._random.choice(QUEUES)
        ids = [job_id for job_id in IDS if self._queue(job_id) == queue]
        jobs = [
            {"name": draw.choice(NAMES), "data": {"id": job_id}, "opts": {"jobId": job_id, **self._options()}}
            for job_id in (draw.choice(ids) for _ in range(draw.randint(2, 3)))
        ]
        return ["bulk", queue, jobs]

    def _within(self) -> Step:
        """A job that does something while it runs: most of the time, it gets itself children."""
        draw, own = self._random, self._random.choice(IDS)
        steps: list[Step] = []
        for _ in range(draw.randint(1, 3)):
            other = draw.choice([other for other in IDS if other != own])
            if draw.random() < 0.7:
                opts = {"jobId": other, **self._options(far=False)}
                if other > own and draw.random() < 0.8:
                    opts |= {"parent": self._parent(own)}
                    opts |= {draw.choice(FLAGS): True} if draw.random() < 0.5 else {}
                elif self._queue(other) == self._queue(own):
                    opts |= self._deduplication()
                steps.append(["add", self._queue(other), draw.choice(NAMES), {"id": other}, opts])
            else:
                steps.append(draw.choice((self._remove, self._priority, self._data))())
        data = {"steps": steps, "fails": draw.random() < 0.3}
        opts = {"jobId": own, **self._options(), **self._deduplication()}
        return ["add", self._queue(own), "adds", data, opts]

    def _tree(self, ids: list[str], depth: int) -> dict[str, Any]:
        draw, (own, *rest) = self._random, ids
        children = []
        while rest:
            cut = len(rest) if depth else draw.randint(1, len(rest))
            children.append(self._tree(rest[:cut], depth + 1))
            rest = rest[cut:]
        opts = self._options()
        if depth and draw.random() < 0.7:
            opts[draw.choice(FLAGS)] = True
        return job(draw.choice(NAMES), own, *children, queue=self._queue(own), **opts)

    def _options(self, *, far: bool = True) -> dict[str, Any]:
        draw, opts = self._random, {}
        if draw.random() < 0.3:
            opts["priority"] = draw.randint(1, 3)
        if draw.random() < 0.3:
            opts["attempts"] = 2
        if draw.random() < 0.15:
            opts["removeOnFail"] = True
        if draw.random() < 0.15:
            opts["removeOnComplete"] = True
        if draw.random() < 0.15:
            opts["lifo"] = True
        if far and self._delays and draw.random() < 0.3:
            opts["delay"] = FAR
        return opts

    def _deduplication(self) -> dict[str, Any]:
        if not self._deduplicates or self._random.random() < 0.3:
            return {}
        return {"deduplication": {"id": "d", **self._random.choice(MODES)}}

    # --- what is done to them ---

    def _retry_if(self) -> Step:
        """By hand; of one that is in another state, or nowhere, nothing comes."""
        job_id = self._random.choice(IDS)
        return ["retry_if", self._queue(job_id), job_id, self._random.choice(("failed", "failed", "completed"))]

    def _schedule(self) -> Step:
        draw, queue, sid = self._random, self._random.choice(QUEUES), self._random.choice(SCHEDULES)
        repeat = draw.choice((ONCE, ONCE, NIGHTLY))
        template = {"name": draw.choice(NAMES), "data": {}, "opts": self._options(far=False)}
        return ["schedule", queue, sid, repeat, template]

    def _unschedule(self) -> Step:
        return ["unschedule", self._random.choice(QUEUES), self._random.choice(SCHEDULES)]

    def _remove(self) -> Step:
        job_id = self._random.choice(IDS)
        return ["remove", self._queue(job_id), job_id, False]

    def _remove_tree(self) -> Step:
        return [*self._remove()[:3], True]

    def _priority(self) -> Step:
        job_id = self._random.choice(IDS)
        how = {"priority": self._random.randint(0, 3), "lifo": self._random.random() < 0.3}
        return ["priority", self._queue(job_id), job_id, how]

    def _delay(self) -> Step:
        job_id = self._random.choice(IDS)
        return ["delay", self._queue(job_id), job_id, FAR + self._random.randint(1, 9) * 100_000]

    def _data(self) -> Step:
        job_id = self._random.choice(IDS)
        return ["data", self._queue(job_id), job_id, {"id": job_id, "changed": self._random.randint(1, 9)}]

    def _promote(self) -> Step:
        job_id = self._random.choice(IDS)
        return ["promote", self._queue(job_id), job_id]

    def _empty(self) -> Step:
        return ["empty", self._random.choice(QUEUES), self._random.random() < 0.5]

    def _clean(self) -> Step:
        states = ("wait", "prioritized", "delayed", "completed", "failed")
        return ["clean", self._random.choice(QUEUES), self._random.choice(states), 0, 0]

    def _pause(self) -> Step:
        return ["pause", self._random.choice(QUEUES)]

    def _resume(self) -> Step:
        return ["resume", self._random.choice(QUEUES)]

    def _global_limit(self) -> Step:
        return ["global limit", self._random.choice(QUEUES), self._random.randint(1, 2), FAR]

    def _no_limit(self) -> Step:
        return ["no limit", self._random.choice(QUEUES)]

    @staticmethod
    def _parent(job_id: str) -> dict[str, str]:
        return {"id": job_id, "queue": Row._queue(job_id)}

    @staticmethod
    def _queue(job_id: str) -> str:
        return QUEUES[IDS.index(job_id) % len(QUEUES)]
