"""We do the steps of a scenario with the engine alone: one job at a time, over the queues in turn, as steps.cjs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import redis

from jobd.client.flow import Flow, flow_jobs
from jobd.engine.adding import add_flow, add_job, add_jobs
from jobd.engine.admin import pause_queue, promote_job, remove_job, resume_queue, retry_job
from jobd.engine.bulk import Tally
from jobd.engine.clearing import cleaning, emptying, obliterating
from jobd.engine.codes import Code
from jobd.engine.iterations import next_iteration
from jobd.engine.job import Finish, Taken
from jobd.engine.job_changes import change_delay, change_priority, removing_orphans, update_data
from jobd.engine.locks import check_stalled
from jobd.engine.options import new_job
from jobd.engine.outcome_policy import Policy, after_failure, after_success, children_refusal, read_opts
from jobd.engine.reading import children_values, ignored_failures, queue_facts
from jobd.engine.schedulers import Repeat, Template, remove_scheduler, upsert_scheduler
from jobd.engine.states import Outcome, State
from jobd.engine.turn import Note, annotate
from tests.interop.options import our_options
from tests.support.queue_of import QueueOf
from tests.support.waiting import wait_until

Step = list[Any]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Side:
    """The queues of one prefix, and what happens to their jobs."""

    def __init__(self, r: redis.Redis, prefix: str) -> None:
        self.r = r
        self.prefix = prefix
        self.queues: dict[str, QueueOf] = {}

    def queue(self, name: str) -> QueueOf:
        if name not in self.queues:
            self.queues[name] = QueueOf(self.r, self.prefix, name)
        return self.queues[name]

    def close(self) -> None:
        for queue in self.queues.values():
            queue.assert_sound()
            queue.close()

    def step(self, step: Step) -> None:
        verb, *args = step
        if verb == "remove current":
            verb, args = "remove", [args[0], self.do_current(*args)]
        getattr(self, f"do_{verb.replace(' ', '_')}")(*args)

    def do_flow(self, tree: dict[str, Any]) -> None:
        now = now_ms()
        jobs = flow_jobs(self._flow(tree), self.queue(tree["queueName"]).keys, now_ms=now)
        self.queue(tree["queueName"]).run(add_flow([(one.keys, one.job) for one in jobs], now))

    def _flow(self, node: dict[str, Any]) -> Flow:
        children = [self._flow(child) for child in node.get("children", [])]
        options = our_options(node.get("opts", {}), self.prefix)
        return Flow(node["name"], node.get("data", {}), queue=node["queueName"], children=children, **options)

    def do_add(self, queue: str, name: str, data: Any, opts: dict[str, Any]) -> None:
        q = self.queue(queue)
        q.run(add_job(q.keys, new_job(name, data, our_options(opts, self.prefix), now_ms=now_ms(), prefix=self.prefix)))

    def do_bulk(self, queue: str, jobs: list[dict[str, Any]]) -> None:
        q, now = self.queue(queue), now_ms()
        made = [
            new_job(job["name"], job["data"], our_options(job["opts"], self.prefix), now_ms=now, prefix=self.prefix)
            for job in jobs
        ]
        q.run(add_jobs(q.keys, made))

    def do_limit(self, queue: str, length_ms: int) -> None:
        """What a handler's RateLimited leaves; there is no job to raise it here."""
        self.r.set(self.queue(queue).keys.limiter, "9007199254740991", px=length_ms)

    def do_global_limit(self, queue: str, most: int, length_ms: int) -> None:
        self.r.hset(self.queue(queue).keys.meta, mapping={"max": most, "duration": length_ms})

    def do_no_limit(self, queue: str) -> None:
        self.r.delete(self.queue(queue).keys.limiter)
        self.r.hdel(self.queue(queue).keys.meta, "max", "duration")

    def do_retry_if(self, queue: str, job_id: str, state: str) -> None:
        q = self.queue(queue)
        if self.r.zscore(f"{q.keys.base}{state}", job_id) is not None:
            q.run(retry_job(q.keys, job_id))

    def do_retry(self, queue: str, job_id: str, state: str = "failed") -> None:
        assert self.queue(queue).run(retry_job(self.queue(queue).keys, job_id)) == 0

    def do_remove(self, queue: str, job_id: str, children: bool = True) -> None:
        self.queue(queue).run(remove_job(self.queue(queue).keys, job_id, children=children))

    def do_pause(self, queue: str) -> None:
        self.queue(queue).run(pause_queue(self.queue(queue).keys, who="t", why=None, now_ms=now_ms()))

    def do_resume(self, queue: str) -> None:
        self.queue(queue).run(resume_queue(self.queue(queue).keys))

    def do_delay(self, queue: str, job_id: str, delay_ms: int) -> None:
        q = self.queue(queue)
        q.run(change_delay(q.keys, job_id, delay_ms=delay_ms, now_ms=now_ms()))

    def do_priority(self, queue: str, job_id: str, how: dict[str, Any]) -> None:
        q = self.queue(queue)
        q.run(change_priority(q.keys, job_id, priority=how["priority"], lifo=how.get("lifo", False)))

    def do_data(self, queue: str, job_id: str, data: Any) -> None:
        q = self.queue(queue)
        q.run(update_data(q.keys, job_id, json.dumps(data, separators=(",", ":")).encode()))

    def do_promote(self, queue: str, job_id: str) -> None:
        q = self.queue(queue)
        q.run(promote_job(q.keys, job_id))

    def do_lose(self, queue: str) -> None:
        q = self.queue(queue)
        for taken in q.turn(take=1, now=now_ms()).jobs:
            if taken.scheduler_id is not None:
                q.run(next_iteration(q.keys, taken, now_ms=now_ms(), chance=0.0))
            self.r.delete(q.keys.lock(taken.id))

    def do_stalled(self, queue: str, most: int) -> None:
        q = self.queue(queue)
        self.r.delete(q.keys.stalled_check)
        q.run(check_stalled(q.keys, now_ms=now_ms(), interval_ms=30_000, max_crashes=most))

    def do_orphans(self, queue: str) -> None:
        q = self.queue(queue)
        q.runner.run_steps(removing_orphans(q.keys, Tally()))

    def do_log(self, queue: str, job_id: str, line: str) -> None:
        q = self.queue(queue)
        q.run(annotate(q.keys, [Note("log", job_id, line.encode())]))

    def do_half_gone(self, queue: str, job_id: str) -> None:
        self.r.delete(self.queue(queue).keys.job(job_id))

    def do_nowhere(self, queue: str, job_id: str) -> None:
        self.r.lrem(self.queue(queue).keys.wait, 0, job_id)

    def do_empty(self, queue: str, delayed: bool = False) -> None:
        q = self.queue(queue)
        q.runner.run_steps(emptying(q.keys, q.run(queue_facts(q.keys)).counts, Tally(), delayed=delayed))

    def do_clean(self, queue: str, state: str, grace_ms: int, limit: int) -> None:
        q, known = self.queue(queue), {"wait": State.WAITING}
        steps = cleaning(
            q.keys, known.get(state) or State(state), q.run(queue_facts(q.keys)).counts, Tally(),
            before_ms=now_ms() - grace_ms, limit=limit or None,
        )  # fmt: skip
        q.runner.run_steps(steps)

    def do_obliterate(self, queue: str, force: bool = False) -> None:
        del force  # whether it is refused is told by the operation
        self.do_pause(queue)
        self.queue(queue).runner.run_steps(obliterating(self.queue(queue).keys, Tally()))

    def do_schedule(self, queue: str, sid: str, repeat: dict[str, Any], template: dict[str, Any] | None = None) -> None:
        q, now, given = self.queue(queue), now_ms(), template or {}
        when = Repeat(
            repeat.get("every"), repeat.get("pattern"), repeat.get("tz"), repeat.get("limit"),
            now + repeat["startIn"] if "startIn" in repeat else None,
            now + repeat["endIn"] if "endIn" in repeat else None,
            repeat.get("offset"), repeat.get("immediately", False),
        )  # fmt: skip
        options = our_options(given.get("opts", {}), self.prefix)
        telemetry = options.pop("telemetry", None)
        made = Template.of(given.get("name", sid), given.get("data", {}), options, now_ms=now)
        if telemetry is not None:
            made = replace(made, opts=json.dumps({"tm": telemetry["metadata"], "omc": telemetry["omitContext"]}))
        command = upsert_scheduler(q.keys, sid, when, made, now_ms=now)
        if command is not None:
            q.run(command)

    def do_unschedule(self, queue: str, sid: str) -> None:
        self.queue(queue).run(remove_scheduler(self.queue(queue).keys, sid))

    def do_current(self, queue: str, sid: str) -> str:
        return f"repeat:{sid}:{self.r.zscore(self.queue(queue).keys.repeat, sid):.0f}"

    def do_runs(self, name: str, count: int) -> None:
        ran = 0
        while ran < count:
            reply = self.queue(name).turn(take=1, now=now_ms())
            for job in reply.jobs:
                ran += 1
                self._process(name, job)
            if not reply.jobs:
                due = reply.next_due_ms or now_ms() + 2
                wait_until(lambda due=due: now_ms() >= due)  # type: ignore[misc]

    def do_run_now(self, *names: str) -> None:
        self.do_run(*names, waits=False)

    def do_run(self, *names: str, waits: bool = True) -> None:
        while True:
            ran, due = False, []
            for name in names:
                reply = self.queue(name).turn(take=1, now=now_ms())
                if reply.next_due_ms is not None:
                    due.append(reply.next_due_ms)
                for job in reply.jobs:
                    ran = True
                    self._process(name, job)
            if not ran and not (due and waits):
                return
            if not ran:
                wait_until(lambda due=due: now_ms() >= min(due))  # type: ignore[misc]

    def _process(self, name: str, job: Taken) -> None:
        q, options, policy = self.queue(name), read_opts(job.opts), Policy()
        if job.scheduler_id is not None:
            q.run(next_iteration(q.keys, job, now_ms=now_ms(), chance=0.0))
        finish = self._handle(name, job)
        (code,) = q.turn(finish, now=now_ms()).codes
        if code in (Code.PENDING_CHILDREN, Code.FAILED_CHILDREN):
            final = code == Code.FAILED_CHILDREN
            finish = after_failure(
                job, options, policy, children_refusal(job.id, code, finish.outcome), "trace", final=final
            )
            (code,) = q.turn(finish, now=now_ms()).codes
        assert code == 0

    def _handle(self, name: str, job: Taken) -> Finish:
        options, policy = read_opts(job.opts), Policy()

        def fails(reason: str, *, final: bool = False) -> Finish:
            return after_failure(job, options, policy, reason, "trace", final=final)

        if job.deferred_failure is not None:
            return fails(job.deferred_failure, final=True)
        if job.name == "fail" or (job.name == "flaky" and job.attempts_made == 0):
            return fails("boom")
        if job.name == "fatal":
            return fails("fatal", final=True)
        if job.name in ("adds", "waits") and job.attempts_started == 1:
            data = json.loads(job.data or b"{}")
            for step in data.get("steps", []):
                self.step(step)
            if data.get("fails"):
                return fails("boom")
            if job.name == "waits":
                return Finish(job.id, job.token, Outcome.WAIT_FOR_CHILDREN)
        if job.name == "reads":
            q = self.queue(name)
            counts = [len(q.run(read(q.keys, job.id))) for read in (children_values, ignored_failures)]
            return after_success(job, options, policy, json.dumps(counts, separators=(",", ":")).encode())
        if job.name == "nothing":
            return after_success(job, options, policy, b"null")
        return after_success(job, options, policy, json.dumps({"ok": job.name}, separators=(",", ":")).encode())
