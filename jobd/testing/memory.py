"""Queues in memory, for FakeQueue: what lies where, what runs next, what an end means to parents and deduplication.

The rules are those of the scripts in engine/lua, without what only several processes need: locks, markers, events.
Prefixes do not tell queues apart here. Finished jobs stay, whatever their options say.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

from jobd.engine.codes import Code
from jobd.engine.job import JobRecord, Taken
from jobd.engine.new_job import Added
from jobd.engine.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobd.engine.keys import Keys
    from jobd.engine.new_job import NewJob
    from jobd.worker.run.single_attempt import Ending

_FLAGS = ("fpof", "cpof", "idof", "rdof")
"""What a child's failure means to its parent: fail, continue, ignore, remove."""


@dataclass(slots=True, eq=False)
class MemoryJob:
    """One job. `place` orders those that wait: lower runs first."""

    keys: Keys
    id: str
    new: NewJob
    state: State = State.WAITING
    data: bytes = b"{}"
    due_at: int = 0
    place: int = 0
    attempts_made: int = 0
    attempts_started: int = 0
    processed_at: int | None = None
    finished_at: int | None = None
    result: Any = None
    failed_reason: str | None = None
    deferred_failure: str | None = None
    stacktrace: list[str] = field(default_factory=list)
    progress: Any = 0
    waits_for: set[str] = field(default_factory=set)
    values: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """As in Redis: prefix:queue:id."""
        return self.keys.job(self.id)

    @property
    def is_over(self) -> bool:
        """Whether it has completed or failed for good."""
        return self.state in (State.COMPLETED, State.FAILED)

    def taken(self) -> Taken:
        """Return it as a turn would have brought it."""
        new = self.new
        deduplication = new.opts.get("de") or {}
        return Taken(
            id=self.id, token="", name=new.name, data=self.data, opts=_json(new.opts),
            timestamp=new.timestamp, delay_ms=new.delay_ms, priority=new.priority, attempts_made=self.attempts_made,
            attempts_started=self.attempts_started, crashes=0, deduplication_id=deduplication.get("id"),
            parent_key=new.parent.key if new.parent else None, scheduler_id=None,
            deferred_failure=self.deferred_failure, stacktrace=_json(self.stacktrace), suspect=False,
        )  # fmt: skip

    def record(self) -> JobRecord:
        """Return it as Queue.get does."""
        new = self.new
        return JobRecord(
            id=self.id, queue=self.keys.queue, state=self.state, name=new.name, data=json.loads(self.data),
            opts=dict(new.opts), timestamp=new.timestamp, delay_ms=new.delay_ms, priority=new.priority,
            attempts_made=self.attempts_made, attempts_started=self.attempts_started, crashes=0,
            processed_at=self.processed_at, finished_at=self.finished_at, result=self.result,
            failed_reason=self.failed_reason, stacktrace=list(self.stacktrace), progress=self.progress, worker=None,
            parent_key=new.parent.key if new.parent else None, scheduler_id=None,
            deduplication_id=(new.opts.get("de") or {}).get("id"), broken=[],
        )  # fmt: skip


@dataclass(slots=True)
class _Owner:
    """Who has a deduplication id. `until` (ms): it is free from then on; None: when its job ends."""

    job: MemoryJob
    until: int | None
    parked: NewJob | None = None
    parked_id: str = ""


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


class Memory:
    """All queues. Thread-safe: handlers add from threads of their own."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._jobs: dict[tuple[str, str], MemoryJob] = {}
        self._owners: dict[tuple[str, str], _Owner] = {}
        self._counters: dict[str, int] = {}
        self._limited_until: dict[str, int] = {}
        self._places = itertools.count(1)
        self._skew_ms = 0

    @property
    def now_ms(self) -> int:
        """The time of these queues, ms since 1970: the clock's, plus what was skipped."""
        return time.time_ns() // 1_000_000 + self._skew_ms

    def find(self, queue: str, job_id: str) -> MemoryJob | None:
        """Return a job, None when there is none."""
        return self._jobs.get((queue, job_id))

    def counts(self, queue: str, states: Iterable[State]) -> dict[str, int]:
        """Return how many jobs of a queue are in each of these states."""
        with self._lock:
            mine = [job.state for (name, _), job in self._jobs.items() if name == queue]
        return {state.value: mine.count(state) for state in states}

    # --- adding ------------------------------------------------------------------------------------------------------

    def add(self, keys: Keys, new: NewJob) -> tuple[Added, MemoryJob | None]:
        """Add a job; the second is None when nothing was added."""
        with self._lock:
            parent = self._by_key(new.parent.key) if new.parent else None
            if new.parent is not None and parent is None:
                return Added("", "0-0", False, False, Code.MISSING_PARENT), None
            job_id = new.job_id or self._count(keys.queue)
            there = self.find(keys.queue, job_id)
            if there is not None:
                return self._again(there, new, parent), None
            job = MemoryJob(keys, job_id, new, data=new.data)
            owner = self._claim(job)
            if owner is not None:
                return Added(owner.id, "0-0", False, True), None
            self._insert(job, parent)
            return Added(job_id, "0-0", False, False), job

    def _again(self, there: MemoryJob, new: NewJob, parent: MemoryJob | None) -> Added:
        """An id that exists changes nothing; it becomes this parent's child when it is nobody's."""
        if parent is None:
            return Added(there.id, "0-0", True, False)
        if there.new.parent is not None and there.new.parent.key != parent.key:
            return Added(there.id, "0-0", True, False, Code.PARENT_TAKEN)
        if there.state is State.COMPLETED:
            parent.values[there.key] = there.result
        else:
            there.new.parent = new.parent
            parent.waits_for.add(there.key)
        return Added(there.id, "0-0", True, False)

    def _count(self, queue: str) -> str:
        self._counters[queue] = self._counters.get(queue, 0) + 1
        return str(self._counters[queue])

    def _insert(self, job: MemoryJob, parent: MemoryJob | None) -> None:
        self._jobs[job.keys.queue, job.id] = job
        if parent is not None:
            parent.waits_for.add(job.key)
        if job.new.children:
            job.state = State.WAITING_CHILDREN
        elif job.new.delay_ms:
            self._delay(job, job.new.timestamp + job.new.delay_ms)
        else:
            self._ready(job, front=job.new.lifo)

    def _claim(self, job: MemoryJob) -> MemoryJob | None:
        """Make the job the owner of its deduplication id; return who it is instead."""
        de = job.new.opts.get("de")
        if not de:
            return None
        place, now = (job.keys.queue, de["id"]), self.now_ms
        lasts = de.get("ttl") and not de.get("keepLastIfActive")
        fresh = _Owner(job, now + de["ttl"] if lasts else None)
        owner = self._owners.get(place)
        if owner is None or (owner.until is not None and owner.until <= now):
            self._owners[place] = fresh
            return None
        if de.get("replace"):
            if owner.job.state is not State.DELAYED:
                return owner.job
            del self._jobs[owner.job.keys.queue, owner.job.id]
            self._owners[place] = fresh if de.get("extend") or not lasts else _Owner(job, owner.until)
            return None
        if de.get("keepLastIfActive") and owner.job.state is State.ACTIVE:
            owner.parked, owner.parked_id, owner.until = job.new, job.id, None
        elif de.get("extend") and lasts:
            owner.until = fresh.until
        if de.get("reschedule") and owner.job.state is State.DELAYED:
            owner.job.new.delay_ms = job.new.delay_ms
            self._delay(owner.job, job.new.timestamp + job.new.delay_ms)
        return owner.job

    # --- taking ------------------------------------------------------------------------------------------------------

    def take(self, queues: Iterable[str]) -> MemoryJob | None:
        """Make the next job of these queues active; time skips to when one is due. None: none ever will be."""
        served = set(queues)
        with self._lock:
            while True:
                now = self.now_ms
                self._promote(now)
                jobs = [job for (queue, _), job in self._jobs.items() if queue in served]
                free = [
                    job for job in jobs
                    if job.state in (State.WAITING, State.PRIORITIZED) and self._limited(job) <= now
                ]  # fmt: skip
                if free:
                    return self._start(min(free, key=lambda job: (job.new.priority, job.place)), now)
                moments = [job.due_at for job in jobs if job.state is State.DELAYED]
                moments += [self._limited(job) for job in jobs if job.state in (State.WAITING, State.PRIORITIZED)]
                if not moments:
                    return None
                self._skew_ms += max(1, min(moments) - now)

    def _limited(self, job: MemoryJob) -> int:
        return self._limited_until.get(job.keys.queue, 0)

    def _promote(self, now: int) -> None:
        due = [job for job in self._jobs.values() if job.state is State.DELAYED and job.due_at <= now]
        for job in sorted(due, key=lambda job: job.due_at):
            self._ready(job)

    def _start(self, job: MemoryJob, now: int) -> MemoryJob:
        job.state, job.processed_at = State.ACTIVE, now
        job.attempts_started += 1
        return job

    # --- ends --------------------------------------------------------------------------------------------------------

    def finish(self, job: MemoryJob, ending: Ending, trace: Callable[[], str]) -> None:
        """Put a job where the end of its run sends it. `trace` gives the traceback of one that failed."""
        with self._lock:
            match ending.outcome:
                case "completed":
                    job.attempts_made += 1
                    job.result = json.loads(ending.value)
                    self._end(job, State.COMPLETED)
                case "retry" | "failed":
                    job.attempts_made += 1
                    job.failed_reason = ending.value.decode()
                    job.stacktrace.append(trace())
                    if ending.outcome == "failed":
                        self._end(job, State.FAILED)
                    elif ending.delay_ms:
                        self._delay(job, self.now_ms + ending.delay_ms)
                    else:
                        self._ready(job, front=job.new.lifo)
                case "delayed":
                    self._delay(job, self.now_ms + ending.delay_ms)
                case "rate_limited":
                    self._limited_until[job.keys.queue] = self.now_ms + ending.delay_ms
                    self._ready(job, front=True)
                case "waiting_children":
                    job.state = State.WAITING_CHILDREN
                    self._release_if_done(job)

    def _end(self, job: MemoryJob, state: State) -> None:
        job.state, job.finished_at = state, self.now_ms
        place = (job.keys.queue, (job.new.opts.get("de") or {}).get("id", ""))
        owner = self._owners.get(place)
        if owner is not None and owner.job is job and owner.until is None:
            del self._owners[place]
            if owner.parked is not None:
                parked = MemoryJob(job.keys, owner.parked_id, owner.parked, data=owner.parked.data)
                self._owners[place] = _Owner(parked, None)
                self._insert(parked, None)
        parent = self._by_key(job.new.parent.key) if job.new.parent else None
        if parent is not None:
            self._settle(job, parent)

    def _settle(self, job: MemoryJob, parent: MemoryJob) -> None:
        """Tell a parent how its child ended. A failure that says nothing leaves it waiting, as in Redis."""
        flag = next((flag for flag in _FLAGS if job.new.opts.get(flag)), None)
        if job.state is State.FAILED and flag is None:
            return
        parent.waits_for.discard(job.key)
        if job.state is State.COMPLETED:
            parent.values[job.key] = job.result
        elif flag == "fpof":
            parent.deferred_failure = f"child {job.key} failed"
        elif flag in ("cpof", "idof"):
            parent.ignored[job.key] = job.failed_reason or ""
        if job.state is State.FAILED and flag in ("fpof", "cpof"):
            self._release(parent)
        else:
            self._release_if_done(parent)

    def _release_if_done(self, parent: MemoryJob) -> None:
        if not parent.waits_for:
            self._release(parent)

    def _release(self, parent: MemoryJob) -> None:
        if parent.state is not State.WAITING_CHILDREN:
            return
        if parent.new.delay_ms and not parent.attempts_started:
            self._delay(parent, self.now_ms + parent.new.delay_ms)
        else:
            self._ready(parent, front=True)

    def _by_key(self, key: str) -> MemoryJob | None:
        _, _, rest = key.partition(":")
        queue, _, job_id = rest.partition(":")
        return self.find(queue, job_id)

    def _ready(self, job: MemoryJob, *, front: bool = False) -> None:
        job.state = State.PRIORITIZED if job.new.priority else State.WAITING
        number = next(self._places)
        job.place = -number if front else number

    def _delay(self, job: MemoryJob, due_at: int) -> None:
        job.state, job.due_at = State.DELAYED, due_at
