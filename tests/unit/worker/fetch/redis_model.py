"""A queue in a Redis that is a few lines of Python, and the wait for its marker."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from jobd.engine.codes import Code
from jobd.engine.job import TurnReply, TurnRequest
from jobd.errors import RedisUnavailable
from tests.unit.worker.run.bench import taken

SUSPECT = "s"
"""Ids that begin with this are suspects."""

LIMITED_MS = 60_000


@dataclass
class Model:
    """A queue: what turn.lua does to it, as far as a worker can tell."""

    waiting: deque[str] = field(default_factory=deque)
    active: dict[str, str] = field(default_factory=dict)
    takes: Counter[str] = field(default_factory=Counter)
    finished: list[str] = field(default_factory=list)
    paused: bool = False
    most_active: int | None = None
    tokens_left: int | None = None
    """Jobs until the rate limit; None: there is none."""
    marker: bool = False

    def add(self, job_id: str) -> None:
        self.waiting.append(job_id)
        self.marker = True

    def run(self, request: TurnRequest) -> TurnReply:
        codes = [self._finish(finish.job_id, finish.token) for finish in request.finishes]
        reply = TurnReply(codes, [])
        if not request.take:
            return reply
        while len(reply.jobs) < request.take and self.waiting:
            if self.paused or (self.most_active is not None and len(self.active) >= self.most_active):
                reply.blocked = True
                return reply
            if self.tokens_left == 0:
                reply.limited_ms = LIMITED_MS
                return reply
            job_id = self._next(request.busy + len(reply.jobs))
            if job_id is None:
                reply.suspects_skipped = True
                break
            reply.jobs.append(self._take(job_id, request.token_prefix))
            if job_id.startswith(SUSPECT):
                break
        self.marker = self.marker or bool(self.waiting)
        return reply

    def _next(self, busy: int) -> str | None:
        able = [job_id for job_id in self.waiting if not busy or not job_id.startswith(SUSPECT)]
        if not busy:
            able.sort(key=lambda job_id: not job_id.startswith(SUSPECT))
        if not able:
            return None
        self.waiting.remove(able[0])
        return able[0]

    def _take(self, job_id: str, prefix: str) -> Any:
        self.takes[job_id] += 1
        self.active[job_id] = f"{prefix}{self.takes[job_id]}"
        if self.tokens_left is not None:
            self.tokens_left -= 1
        return self.job(job_id)

    def job(self, job_id: str) -> Any:
        job = taken(job_id, suspect=job_id.startswith(SUSPECT), attempts_started=self.takes[job_id])
        job.token = self.active[job_id]
        return job

    def _finish(self, job_id: str, token: str) -> int:
        if self.active.get(job_id) != token:
            return Code.MISSING_LOCK
        del self.active[job_id]
        self.finished.append(job_id)
        self.marker = self.marker or bool(self.waiting)
        return Code.OK


class ModelWait:
    """The wait for a marker, with the turn sent ahead behind it."""

    connection = None
    give_up_at = 0.0

    def __init__(self, model: Model) -> None:
        self.model = model
        self.loop: Any = None
        self.asked = self.blocked = False
        self.ahead: TurnRequest | None = None
        self.reply: TurnReply | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    def ask(self, next_due_ms: int | None, *, busy: bool = False) -> None:
        self.asked = True

    def turns(self) -> None:
        """Begin a wait that was asked for; end one whose marker is there."""
        if self.asked and not self.blocked and self.reply is None:
            self.asked = False
            if self.loop.wants_marker():
                self.ahead, self.blocked = self.loop.turn_ahead(0), True
        if self.blocked and self.model.marker:
            self.model.marker = False
            self.ends()

    def ends(self) -> None:
        self.blocked = False
        if self.ahead is None:
            if not self.loop.wants_marker():
                self.model.marker = True
            self.loop.look_again()
        else:
            self.ahead, self.reply = None, self.model.run(self.ahead)

    def lands(self) -> None:
        reply, self.reply = self.reply, None
        if reply is not None:
            self.loop.landed(reply)

    def drop(self) -> None:
        lost = self.ahead is not None or self.reply is not None
        self.ahead, self.reply, self.blocked = None, None, False
        if lost:
            self.loop.lost_ahead(RedisUnavailable("connection closed"))

    def rest(self) -> None: ...

    async def unblock(self, through: Any) -> None:
        if self.blocked:
            self.ends()

    async def left(self) -> None:
        self.lands()
