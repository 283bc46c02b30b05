"""The fetch loop against a small model of Redis, in every order of events that hypothesis thinks of.

The loop, its policy and the slots are the real ones. Redis is a model that runs turns in the order they were sent, and
the test decides when it runs one, when a reply arrives, what is lost, and what is ordered meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from jobd.engine.job import TurnRequest
from jobd.worker.fetch import fetch_policy
from jobd.worker.fetch import loop as fetch_loop
from jobd.worker.fetch import turns as fetch_turns
from jobd.worker.fetch.fetch_policy import Link, Order
from jobd.worker.fetch.outage import ReconnectDelay
from tests.unit.worker.fetch.harness import FetchBench, Sent
from tests.unit.worker.fetch.redis_model import SUSPECT, Model, ModelWait
from tests.unit.worker.run.handlers import held

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "60"))
"""Runs of each machine; MACHINE_EXAMPLES=2000 for a long look."""


class Machine(RuleBasedStateMachine):
    """One worker of a queue."""

    most_turns = 1

    def __init__(self) -> None:
        super().__init__()
        held.clear()
        self.aio = asyncio.new_event_loop()
        self.model = Model()
        self.unrun: deque[Sent] = deque()
        self.unread: deque[tuple[Sent, list[Any]]] = deque()
        self.added = 0
        self.seen_running: Counter[str] = Counter()
        self.running: set[str] = set()
        self.quiet_since: set[str] | None = None
        self.now = 1000.0
        fetch_policy.monotonic = lambda: self.now  # type: ignore[assignment]
        self.aio.run_until_complete(self._start())

    async def _start(self) -> None:
        self.bench = bench = FetchBench("hold", concurrency=4)
        self.wait = bench.wait = ModelWait(self.model)  # type: ignore[assignment]
        self.wait.loop = bench.loop
        bench.loop._marker = self.wait  # type: ignore[assignment]
        begin = bench.redis.begin

        def begins(*commands: Any, direct: Any = None) -> asyncio.Future[list[Any]]:
            answer = begin(*commands, direct=direct)
            sent = bench.redis.sent[-1]
            sent.concurrency = bench.slots.numbers.concurrency
            if bench.redis.is_open:
                self.unrun.append(sent)
            return answer

        bench.redis.begin = begins  # type: ignore[method-assign]

        async def adopt(*args: Any, held: Any, **more: Any) -> list[Any]:
            return [self.model.job(job_id) for job_id in self.model.active if job_id not in held]

        fetch_loop.adopt = adopt  # type: ignore[assignment]
        bench.loop._policy._most_turns = self.most_turns
        # Something to do from the first turn on: most of what is interesting happens under load.
        for _ in range(12):
            self.added += 1
            self.model.add(str(self.added))
        assert await bench.loop.connect()
        bench.loop.resume()
        self.task = asyncio.create_task(bench.loop.run())
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)
            self._watch()

    def _watch(self) -> None:
        now_running = set(held)
        self.seen_running.update(now_running - self.running)
        self.running = now_running
        if self.quiet_since is not None:
            assert now_running <= self.quiet_since, "a job began after the worker had said that it is quiet"

    def settle(self) -> None:
        self.aio.run_until_complete(self._settle())
        if self.task.done() and not self.task.cancelled() and (error := self.task.exception()):
            raise error

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 6), suspect=st.integers(0, 9))
    def jobs_are_added(self, count: int, suspect: int) -> None:
        for _ in range(count):
            self.added += 1
            self.model.add(f"{SUSPECT if suspect == 0 else ''}{self.added}")
        self.settle()

    @precondition(lambda self: held)
    @rule(count=st.integers(1, 8))
    def some_jobs_end(self, count: int) -> None:
        for job_id in sorted(held)[:count]:
            held[job_id].set_result(None)
        self.settle()

    @precondition(lambda self: held)
    @rule(first=st.integers(1, 8))
    def jobs_end_in_two_moments(self, first: int) -> None:
        """What the second has news of finds a turn under way."""
        self.some_jobs_end(first)
        self.some_jobs_end(8)

    @precondition(lambda self: held)
    @rule()
    def a_job_writes_a_note(self) -> None:
        job_id = sorted(held)[0]
        attempt = next(one for one in self.bench.slots.running.values() if one.taken.id == job_id)
        self.bench.slots.logged(attempt.job, "line")
        self.settle()

    @precondition(lambda self: self.unrun)
    @rule()
    def redis_runs_a_turn(self) -> None:
        self._run_one()
        self.settle()

    @precondition(lambda self: self.unread)
    @rule(directly=st.booleans())
    def a_reply_arrives(self, directly: bool) -> None:
        self._arrive(directly)

    @precondition(lambda self: self.unrun or self.unread)
    @rule(count=st.integers(1, 3))
    def round_trips(self, count: int) -> None:
        for _ in range(count):
            if self.unrun:
                self._run_one()
            if self.unread:
                self._arrive(True)

    @rule()
    def the_wait_goes_on(self) -> None:
        self.wait.turns()
        self.settle()

    @rule()
    def the_turn_sent_ahead_lands(self) -> None:
        self.wait.lands()
        self.settle()

    @rule(run=st.integers(0, 2))
    def the_connection_is_lost(self, run: int) -> None:
        """Redis ran so many of the turns that lay unread; nobody reads their replies."""
        for _ in range(min(run, len(self.unrun))):
            self._run_one()
        self.unrun.clear()
        self.unread.clear()
        under_way = any(sent.is_under_way for sent in self.bench.redis.sent)
        self.bench.redis.drop()
        if not under_way:
            self.bench.loop._closed()
        self.settle()

    @rule()
    def the_wait_is_lost(self) -> None:
        self.wait.drop()
        self.settle()

    @rule(concurrency=st.integers(1, 8))
    def it_is_resized(self, concurrency: int) -> None:
        self._resize(concurrency)

    @rule(tokens=st.one_of(st.none(), st.integers(0, 5)))
    def the_limiter_is_set(self, tokens: int | None) -> None:
        self.model.tokens_left = tokens

    @rule()
    def the_limit_ends(self) -> None:
        self._limit_ends()

    @rule(most=st.one_of(st.none(), st.integers(1, 4)), paused=st.booleans())
    def global_concurrency_or_pause(self, most: int | None, paused: bool) -> None:
        self.model.most_active, self.model.paused = most, paused
        self.model.marker = self.model.marker or bool(self.model.waiting)

    @precondition(lambda self: not self._ends)
    @rule(ending=st.booleans())
    def it_is_told_to_be_quiet(self, ending: bool) -> None:
        (self.bench.loop.end if ending else self.bench.loop.quiet)(self._quieted)
        self.settle()

    @precondition(lambda self: not self._ends)
    @rule()
    def it_is_told_to_take(self) -> None:
        self.quiet_since = None
        self.bench.loop.resume()
        self.settle()

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def no_more_turns_than_allowed(self) -> None:
        policy = self.bench.loop._policy
        assert policy.turns == len(self.bench.loop._turns) <= self.most_turns

    @invariant()
    def a_suspect_runs_alone(self) -> None:
        if any(job_id.startswith(SUSPECT) for job_id in held):
            assert len(held) == 1

    @invariant()
    def every_job_runs_once_and_finishes_once(self) -> None:
        assert all(count == 1 for count in self.seen_running.values())
        assert len(self.model.finished) == len(set(self.model.finished))
        assert all(count == 1 for count in self.model.takes.values())

    @invariant()
    def the_board_says_so_when_a_reply_may_bring_jobs(self) -> None:
        known = {one.taken.id for one in self.bench.slots.running.values()} | self.bench.slots._held
        if set(self.model.active) - known:
            assert self.bench.board.shown_since > 0

    def teardown(self) -> None:
        try:
            self._drain()
        finally:
            self.task.cancel()
            self.aio.run_until_complete(asyncio.wait([self.task]))
            self.aio.close()

    def _drain(self) -> None:
        """Nothing is in the way any more: a worker that takes runs everything, one that ends leaves nothing in hand."""
        self.model.paused, self.model.most_active, self.model.tokens_left = False, None, None
        self.model.marker = True
        for _ in range(40 + 8 * self.added):
            while self.unrun:
                self._run_one()
            while self.unread:
                self._arrive(True)
            for job_id in sorted(held):
                held[job_id].set_result(None)
            self.settle()
            self.wait.turns()
            self.wait.lands()
            self._limit_ends()
        order = self.bench.loop._policy.order
        if order is Order.END:
            assert self.task.done(), f"it does not end: {self._state()}"
        if order is Order.TAKE:
            assert not self.model.waiting, f"it stands still: {self._state()}"
        # What a lost reply gave to a worker that ends has not begun: the daemon hands it back.
        unbegun = {job_id for job_id in self.model.active if order is Order.END and not self.seen_running[job_id]}
        assert not set(self.model.active) - unbegun, f"not settled: {self._state()}"

    def _state(self) -> str:
        policy = self.bench.loop._policy
        return f"{policy.order} {policy.link} {policy.supply} turns {policy.turns} ahead {policy.ahead} {self.model}"

    @property
    def _ends(self) -> bool:
        return self.bench.loop._policy.order is Order.END

    def _quieted(self) -> None:
        self.quiet_since = set(held) | {one.taken.id for one in self.bench.slots.running.values()}
        if self.bench.loop._policy.link is Link.LOST:
            # What a lost reply gave to it may yet be found and begun.
            self.quiet_since |= set(self.model.active)

    def _arrive(self, directly: bool) -> None:
        sent, results = self.unread.popleft()
        if sent.is_under_way:
            self.aio.run_until_complete(self._inside(sent, results, directly))
        self.settle()

    async def _inside(self, sent: Any, results: list[Any], directly: bool) -> None:
        sent.arrive(results, directly=directly)

    def _run_one(self) -> None:
        sent = self.unrun.popleft()
        results: list[Any] = []
        for command in sent.commands:
            results.append(self.model.run(command) if isinstance(command, TurnRequest) else None)
            if isinstance(command, TurnRequest) and results[-1].jobs:
                assert len(self.model.active) <= sent.concurrency, "a job was taken ahead of a free slot"
        self.unread.append((sent, results))

    def _resize(self, concurrency: int) -> None:
        slots = self.bench.slots
        slots.numbers = dataclasses.replace(slots.numbers, concurrency=concurrency)
        self.bench.loop.look_again()
        self.settle()

    def _limit_ends(self) -> None:
        self.now += 3600.0
        if self.model.tokens_left == 0:
            self.model.tokens_left = None
        if self.bench.loop._policy.limit_s() is not None:
            self.bench.loop.look_again()
        self.settle()


@pytest.mark.parametrize("most_turns", [1, 2])
def test_nothing_is_lost_taken_early_or_run_twice_whatever_happens_when(
    monkeypatch: pytest.MonkeyPatch, most_turns: int
) -> None:
    monkeypatch.setattr(Machine, "most_turns", most_turns)
    monkeypatch.setattr(fetch_policy, "HALVES_FROM", 2)
    monkeypatch.setattr(fetch_policy, "monotonic", fetch_policy.monotonic)
    monkeypatch.setattr(fetch_turns, "turn", lambda keys, request: request)
    monkeypatch.setattr(fetch_loop, "adopt", fetch_loop.adopt)
    monkeypatch.setattr(ReconnectDelay, "PAUSES_S", (0.0,))
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Without shrinking: it takes minutes, and thirty steps can be read.
            phases=(Phase.generate,),
        ),
    )
