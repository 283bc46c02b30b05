"""What only the daemon can do: each operation asks the supervisor and draws its document.

Nothing here needs Redis, except the counts of `status`, which are asked for with a limit.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jobd
from jobd.config.model import LogLevel
from jobd.config.rules import METRICS_HINT as EXTRA_HINT
from jobd.daemon import logs
from jobd.daemon.control.host_findings import host_findings
from jobd.daemon.control.numbers import numbers_of
from jobd.daemon.control.redis_answer import ask_redis
from jobd.daemon.control.status_document import (
    DaemonFacts,
    health_document,
    queue_document,
    status_document,
    worker_document,
)
from jobd.daemon.control.subscription import Subscriptions, follow
from jobd.daemon.log_memory import Search
from jobd.daemon.reload.context import newer_code
from jobd.daemon.reload.plan import has_changes, refusals
from jobd.daemon.worker_orders import WorkerOrders
from jobd.errors import NotThere, Refused
from jobd.operations import configuration
from jobd.operations.operation import Place
from jobd.protocol.control import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobd.daemon.control.status_document import RedisAnswer
    from jobd.daemon.history import History
    from jobd.daemon.log_memory import LogMemory
    from jobd.daemon.metrics_page import MetricsPage
    from jobd.daemon.notify import Notifier
    from jobd.daemon.supervisor import Supervisor
    from jobd.daemon.views import QueueView
    from jobd.daemon.views import Step as PlanStep
    from jobd.engine.runner import AsyncRunner
    from jobd.locate import RedisSource
    from jobd.operations.documents.daemon import (
        ConfigShown,
        HandedBack,
        Health,
        Hello,
        LogLines,
        NumbersText,
        Plan,
        Reloaded,
        Status,
        Step,
        Stopped,
        Subscribed,
    )
    from jobd.operations.documents.doctor import Finding
    from jobd.operations.documents.history import QueueHistory
    from jobd.operations.documents.queues import OwnQueue, Queue, QueueReset, QueueRow, QueueStates, Scaled
    from jobd.operations.documents.workers import (
        JobStack,
        WorkerKilled,
        WorkerList,
        WorkerRestarted,
        WorkerShown,
        WorkerStack,
    )
    from jobd.operations.numbers import Numbers
    from jobd.operations.operation import Caller, Subscriber
    from jobd.operations.params.daemon import (
        ConfigShow,
        LogsOf,
        OnePid,
        PlanOf,
        Probed,
        Reason,
        ReloadOf,
        Stop,
        Subscribe,
    )
    from jobd.operations.params.jobs import OneJob
    from jobd.operations.params.kinds import Nothing
    from jobd.operations.params.queues import OneQueue, QueueAndReason, Queues, ScaleTo

_MAX_LINES = 10_000
"""The most lines one answer gives."""


class Methods:
    """The daemon side of the operations (operations/daemon_side.py), and what they need to know of this host."""

    def __init__(
        self,
        supervisor: Supervisor,
        runner: AsyncRunner,
        source: RedisSource,
        notifier: Notifier,
        *,
        memory: LogMemory,
        page: MetricsPage | None,
        history: History,
        strangers: Callable[[], list[str]],
    ) -> None:
        """Prepare.

        `memory` has the last lines of the log, `history` the last hours of the queues; `page` draws the numbers (None:
        the extra is missing); `strangers` tells of daemons that run something else.
        """
        self._history = history
        self._strangers = strangers
        self._memory = memory
        self._page = page
        self._supervisor = supervisor
        self._runner = runner
        self._source = source
        self._notifier = notifier
        self._orders = WorkerOrders(supervisor.fleet)
        self._subscriptions = Subscriptions()

    async def hello(self, params: Nothing, caller: Caller) -> Hello:
        """Tell the protocol's number and the daemon's version."""
        del params, caller
        return {"protocol": PROTOCOL, "version": jobd.__version__, "pid": os.getpid()}

    async def status(self, params: Queues, caller: Caller) -> Status:
        """Tell what runs, what waits, what failed, and what differs from the file."""
        del caller
        views = self._views(params.queues)
        answer = await self._ask_redis(views)
        return status_document(self._facts(), answer, views)

    async def health(self, params: Probed, caller: Caller) -> Health:
        """Tell whether the daemon is live and ready."""
        del params, caller
        daemon = self._supervisor
        return health_document(daemon.state, daemon.live(), daemon.ready())

    async def plan(self, params: PlanOf, caller: Caller) -> Plan:
        """Tell what a reload would do."""
        del caller
        generation = self._supervisor.generation
        steps = await self._supervisor.rehearse(Path(params.config) if params.config else None)
        changes = has_changes(steps)
        return {
            "generation": generation,
            "next_generation": generation + 1 if changes and not refusals(steps) else generation,
            "changes": changes,
            "steps": [_step(step) for step in steps],
            "notes": newer_code(self._supervisor.code_changed()),
        }

    async def reload(self, params: ReloadOf, caller: Caller) -> Reloaded:
        """Read the file again and apply it whole; the outcome is kept for `status`, the caller may have gone away."""
        report = await self._supervisor.reload(params.code, caller.progress, caller.who)
        return {
            "generation": report.generation,
            "took_s": round(report.took_s, 3),
            "steps": [_step(step) for step in report.steps],
            "interrupted": report.interrupted,
            "notes": report.notes,
        }

    async def stop(self, params: Stop, caller: Caller) -> Stopped:
        """Stop every worker; the daemon's process ends after the answer."""
        self._notifier.stopping("draining")
        report = await self._supervisor.stop(params.grace_ms, params.now, caller.progress)
        handed_back: list[HandedBack] = [
            {"queue": job.queue, "id": job.id, "name": job.name, "times": job.times} for job in report.handed_back
        ]
        return {"finished": report.finished, "handed_back": handed_back}

    async def quiet(self, params: Reason, caller: Caller) -> QueueStates:
        """Take no jobs on this host."""
        self._supervisor.quiet(None, caller.who, params.reason)
        return self._states()

    async def unquiet(self, params: Nothing, caller: Caller) -> QueueStates:
        """Undo `quiet`."""
        del params
        self._supervisor.unquiet(None, caller.who)
        return self._states()

    async def queue_quiet(self, params: QueueAndReason, caller: Caller) -> OwnQueue:
        """Take no jobs of a queue on this host."""
        self._views([params.queue])
        self._supervisor.quiet(params.queue, caller.who, params.reason)
        return {"queue": (await self._queues([params.queue]))[params.queue]}

    async def queue_unquiet(self, params: OneQueue, caller: Caller) -> OwnQueue:
        """Undo `queue quiet`."""
        self._views([params.queue])
        self._supervisor.unquiet(params.queue, caller.who)
        return {"queue": (await self._queues([params.queue]))[params.queue]}

    async def queue_scale(self, params: ScaleTo, caller: Caller) -> Scaled:
        """Run another number of workers of a queue."""
        self._views([params.queue])
        was, now = self._supervisor.scale(params.queue, params.to, caller.who, params.reason)
        return {"queue": params.queue, "workers": now, "was": was}

    async def worker_list(self, params: Nothing, caller: Caller) -> WorkerList:
        """Tell the workers of this host."""
        del params, caller
        return {"workers": [worker_document(worker) for view in self._supervisor.views() for worker in view.workers]}

    async def worker_show(self, params: OnePid, caller: Caller) -> WorkerShown:
        """Tell one worker of this host."""
        del caller
        _, found = self._orders.find(params.pid)
        views = (worker for view in self._supervisor.views() for worker in view.workers)
        shown = next(worker_document(worker) for worker in views if worker.pid == params.pid)
        return {"worker": shown, "loop": found.loop}

    async def worker_restart(self, params: OnePid, caller: Caller) -> WorkerRestarted:
        """Replace a worker."""
        new = await self._orders.restart(params.pid, caller.who)
        return {"queue": new.queue, "was": params.pid, "pid": new.pid}

    async def worker_stack(self, params: OnePid, caller: Caller) -> WorkerStack:
        """Tell where a worker is."""
        del caller
        pool, text = await self._orders.stack(params.pid)
        return {"queue": pool.name, "pid": params.pid, "stack": text}

    async def worker_kill(self, params: OnePid, caller: Caller) -> WorkerKilled:
        """Kill a worker."""
        pool, jobs = await self._orders.kill(params.pid, caller.who)
        return {"queue": pool.name, "pid": params.pid, "jobs": jobs}

    async def job_stack(self, params: OneJob, caller: Caller) -> JobStack:
        """Tell where a job is."""
        del caller
        pid, text = await self._orders.stack_of_job(params.queue, params.id)
        return {"queue": params.queue, "id": params.id, "pid": pid, "stack": text}

    async def queue_reset(self, params: OneQueue, caller: Caller) -> QueueReset:
        """Hold a queue back no longer."""
        self._views([params.queue])
        return {"queue": params.queue, "was": self._supervisor.reset(params.queue, caller.who)}

    async def config_show(self, params: ConfigShow, caller: Caller) -> ConfigShown:
        """Tell the configuration in force."""
        del caller
        return configuration.shown(self._supervisor.config, origin=params.origin)

    async def numbers(self) -> Numbers:
        """Return what this daemon measures; never waits longer than 300 ms."""
        daemon = self._supervisor
        queues = daemon.pools_and_views()
        redis = await self._ask_redis([view for _, view in queues])
        return numbers_of(
            jobd.__version__, daemon.generation,
            ready=daemon.ready()[0], redis=redis, counters=daemon.counters, queues=queues, now_ms=_now_ms(),
        )  # fmt: skip

    async def metrics(self, params: Nothing, caller: Caller) -> NumbersText:
        """Tell the numbers as Prometheus reads them."""
        del params, caller
        if self._page is None:
            raise Refused("extra-missing", f"the daemon has no numbers: its extra `metrics` is missing; {EXTRA_HINT}")
        text, content_type = await self._page.text(await self.numbers())
        return {"text": text, "content_type": content_type}

    async def logs(self, params: LogsOf, caller: Caller) -> LogLines:
        """Tell the last lines of the log."""
        del caller
        if params.queue is not None and params.queue not in self._memory.queues():
            self._views([params.queue])
        search = Search(
            queue=params.queue, job=params.job, pid=params.worker,
            since=None if params.since_ms is None else time.time() - params.since_ms / 1000,
            level=logging.NOTSET if params.level is None else logs.LEVELS[LogLevel(params.level)], grep=params.grep,
        )  # fmt: skip
        limit = min(params.limit or 1000, _MAX_LINES)
        if params.after is None:
            found = await self._memory.newest(search, limit)
        else:
            found = await self._memory.wait_after(params.after, search, limit, (params.wait_ms or 0) / 1000)
        return {"lines": found.lines, "cursor": found.cursor, "more": found.more, "missed": found.missed}

    async def subscribe(self, params: Subscribe, caller: Subscriber) -> Subscribed:
        """Tell each line of the log, or each event of queues, as it comes."""
        place = Place(self._runner, self._source.prefix, caller, self)
        async with self._subscriptions:
            return await follow(params, caller, self, place)

    async def findings(self) -> list[Finding]:
        """Return what is wrong on this host."""
        return list(host_findings(self._supervisor, self._strangers()))

    async def own_queues(self, wanted: Sequence[str] | None) -> dict[str, QueueRow]:
        """Return {queue: its row} for those of the wanted queues (None: all) that this host runs."""
        return {name: cast("QueueRow", queue) for name, queue in (await self._queues(wanted)).items()}

    def shortest_lock_ms(self) -> int | None:
        """Return the shortest `lock_duration` of the queues that this host runs; None when it runs none."""
        return min((pool.queue.lock_duration_ms for pool in self._supervisor.fleet.pools.values()), default=None)

    def look_for_cancelled(self, queue: str) -> None:
        """See now, and not only at the next renewal, which running jobs of the queue were cancelled."""
        self._supervisor.fleet.look_for_cancelled(queue)

    def history(self, wanted: Sequence[str] | None) -> dict[str, QueueHistory]:
        """Return {queue: its last hours} for those of the wanted queues (None: all) that this host runs."""
        return self._history.of(wanted)

    def _views(self, wanted: Sequence[str]) -> list[QueueView]:
        """Return the queues of these names, all without one."""
        views = self._supervisor.views()
        known = [view.name for view in views]
        for name in wanted:
            if name not in known:
                text = f'no such queue on this host: "{name}"; it runs {", ".join(known) or "none"}'
                raise NotThere("queue", name, text, known=known)
        return [view for view in views if not wanted or view.name in wanted]

    async def _queues(self, wanted: Sequence[str] | None) -> dict[str, Queue]:
        """Return {queue: its part of the status} for those of these queues, all for None, that this host runs."""
        views = [view for view in self._supervisor.views() if wanted is None or view.name in wanted]
        if not views:
            return {}
        answer = await self._ask_redis(views)
        now_ms = _now_ms()
        return {view.name: queue_document(view, answer, now_ms) for view in views}

    async def _ask_redis(self, views: Sequence[QueueView]) -> RedisAnswer:
        configured = self._supervisor.config.queues
        limits = {name: queue.rate_limit.max for name, queue in configured.items() if queue.rate_limit is not None}
        return await ask_redis(self._runner, self._source, {view.name: limits.get(view.name, 0) for view in views})

    def _states(self) -> QueueStates:
        return {"queues": [{"name": view.name, "state": view.state.value} for view in self._supervisor.views()]}

    def _facts(self) -> DaemonFacts:
        daemon, now = self._supervisor, time.monotonic()
        changed = daemon.config.changed_on_disk()
        return DaemonFacts(
            state=daemon.state,
            degraded_by=daemon.degraded_by(),
            pid=os.getpid(),
            host=os.uname().nodename,
            version=jobd.__version__,
            uptime_s=now - daemon.started_at,
            generation=daemon.generation,
            reloaded_s=None if daemon.reloaded_at is None else now - daemon.reloaded_at,
            incarnation=daemon.incarnation,
            config_path=str(daemon.config.path),
            config_changed=changed,
            config_changed_s=_since_s(daemon.config.changed_at()) if changed else None,
            code_changed=bool(daemon.code_changed()),
            drift=daemon.health.drift(now),
            strangers=self._strangers(),
            last_reload=daemon.last_reload(),
            now_ms=_now_ms(),
        )


def _step(step: PlanStep) -> Step:
    return {
        "mark": step.mark.value,
        "queue": step.queue,
        "schedule": step.schedule,
        "what": step.what,
        "how": step.how,
        "action": step.action.value,
        "keys": list(step.keys),
    }


def _since_s(moment: float | None) -> float | None:
    return None if moment is None else max(0.0, time.time() - moment)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
