"""What the methods of the control socket do: read parameters, ask the supervisor, draw the document.

Nothing here needs Redis, except what is about jobs and pauses (queue_methods.py) and the counts of `status`, which are
asked for with a limit.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jobd
from jobd.daemon.control import status_document as status
from jobd.daemon.control.params import Params
from jobd.daemon.control.queue_methods import QueueMethods
from jobd.daemon.control.redis_answer import ask_redis
from jobd.daemon.logs import event_log
from jobd.daemon.reload.plan import has_changes, refusals
from jobd.errors import JobdError, NotThere, Refused
from jobd.exits import Exit
from jobd.protocol.control import PROTOCOL, BadRequest, Method, RpcCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobd.daemon.control.server import Caller
    from jobd.daemon.control.status_document import RedisAnswer
    from jobd.daemon.notify import Notifier
    from jobd.daemon.supervisor import Supervisor
    from jobd.daemon.views import QueueView, ReloadReport, Step
    from jobd.engine.runner import AsyncRunner
    from jobd.locate import RedisSource

_log = event_log(__name__)

CHANGING = frozenset({
    Method.RELOAD, Method.STOP, Method.QUIET, Method.UNQUIET, Method.QUEUE_PAUSE, Method.QUEUE_RESUME,
    Method.QUEUE_QUIET, Method.QUEUE_UNQUIET, Method.QUEUE_SCALE, Method.JOB_ADD, Method.JOB_RETRY, Method.JOB_REMOVE,
})  # fmt: skip
"""Logged with who asked for it."""

READING = frozenset({
    Method.HELLO, Method.STATUS, Method.HEALTH, Method.QUEUE_LIST, Method.QUEUE_SHOW, Method.JOB_LIST, Method.JOB_SHOW,
    Method.JOB_LOGS, Method.WORKER_LIST, Method.CONFIG_SHOW,
})  # fmt: skip
"""What the status socket answers. Not `plan`: it would read any file that the daemon may read."""

_LOGGED = ("queue", "id", "to", "reason", "code", "now", "grace_ms", "all", "state", "name", "error")
"""Parameters that say what was asked for and hold no job data."""


class Methods:
    """Answers requests; `call` is what the control server is given."""

    def __init__(
        self,
        supervisor: Supervisor,
        runner: AsyncRunner,
        source: RedisSource,
        notifier: Notifier,
    ) -> None:
        """Prepare."""
        self._supervisor = supervisor
        self._runner = runner
        self._source = source
        self._notifier = notifier
        self._last_reload: dict[str, Any] | None = None
        queues = QueueMethods(runner, source.prefix, self._queue_documents)
        self._methods: dict[Method, Callable[[Params, Caller], Awaitable[dict[str, Any]]]] = {
            Method.HELLO: self._hello,
            Method.STATUS: self._status,
            Method.HEALTH: self._health,
            Method.PLAN: self._plan,
            Method.RELOAD: self._reload,
            Method.STOP: self._stop,
            Method.QUIET: self._quiet,
            Method.UNQUIET: self._unquiet,
            Method.QUEUE_QUIET: self._queue_quiet,
            Method.QUEUE_UNQUIET: self._queue_unquiet,
            Method.QUEUE_SCALE: self._queue_scale,
            Method.WORKER_LIST: self._worker_list,
            Method.CONFIG_SHOW: self._config_show,
            **queues.table(),
        }

    async def call(self, method: str, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Return the result of one method; changes are logged with the caller's uid and pid.

        Raises:
            BadRequest: there is no such method.
            JobdError: it did not succeed.
        """
        try:
            named = Method(method)
        except ValueError:
            raise BadRequest(RpcCode.METHOD, "method-unknown", f'no such method: "{method[:80]}"') from None
        perform = self._methods[named]
        if named not in CHANGING or params.get("dry_run") is True:
            return await perform(Params(params), caller)
        asked = {name: params[name] for name in _LOGGED if params.get(name)}
        if isinstance(params.get("ids"), list):
            asked["ids"] = len(params["ids"])
        _log.info("change asked for", method=method, by=caller.who, uid=caller.uid, peer_pid=caller.pid, params=asked)
        try:
            return await perform(Params(params), caller)
        except JobdError as error:
            _log.warning("change refused", method=method, uid=caller.uid, peer_pid=caller.pid, reason=str(error))
            raise

    async def call_reading(self, method: str, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """As `call`, for the status socket: what changes anything is refused (exit code 77)."""
        if method in set(Method) - READING:
            message = f"{method} is not permitted on the status socket, which only reads"
            raise Refused("not-permitted", message, exit_code=Exit.NOT_PERMITTED)
        return await self.call(method, params, caller)

    async def _hello(self, params: Params, _caller: Caller) -> dict[str, Any]:
        params.done()
        return {"protocol": PROTOCOL, "version": jobd.__version__, "pid": os.getpid()}

    async def _status(self, params: Params, _caller: Caller) -> dict[str, Any]:
        wanted = params.texts("queues")
        params.done()
        views = self._views(wanted)
        answer = await self._ask_redis(views)
        return status.status_document(self._facts(), answer, views)

    async def _health(self, params: Params, _caller: Caller) -> dict[str, Any]:
        params.choice("kind", "live", "ready")
        params.done()
        daemon = self._supervisor
        return status.health_document(daemon.state, daemon.live(), daemon.ready())

    async def _plan(self, params: Params, _caller: Caller) -> dict[str, Any]:
        named = params.optional_text("config")
        params.done()
        generation = self._supervisor.generation
        steps = await self._supervisor.rehearse(Path(named) if named else None)
        changes = has_changes(steps)
        return {
            "generation": generation,
            "next_generation": generation + 1 if changes and not refusals(steps) else generation,
            "changes": changes,
            "steps": [_step(step) for step in steps],
        }

    async def _reload(self, params: Params, caller: Caller) -> dict[str, Any]:
        code = params.flag("code")
        params.done()
        report = await self.reload(code, caller.progress, caller.who)
        return {
            "generation": report.generation,
            "took_s": round(report.took_s, 3),
            "steps": [_step(step) for step in report.steps],
            "interrupted": report.interrupted,
            "notes": report.notes,
        }

    async def reload(self, code: bool, progress: Callable[[str], None], who: str) -> ReloadReport:
        """Reload, and keep the outcome for `status`: whoever asked may have gone away, or was a signal.

        Raises:
            JobdError: it was not applied.
        """
        outcome: dict[str, Any] = {"by": who, "at_ms": _now_ms(), "applied": False, "error": None}
        # READY=1 ends a reload for systemd; before the first one it would end the start.
        announce = self._supervisor.ready_once
        if announce:
            self._notifier.reloading()
        try:
            report = await self._supervisor.reload(code, progress, who)
        except JobdError as error:
            self._last_reload = {**outcome, "generation": self._supervisor.generation, "error": str(error)}
            raise
        finally:
            if announce and not self._supervisor.stopping:
                self._notifier.ready()
        self._last_reload = {**outcome, "generation": report.generation, "applied": True}
        return report

    async def _stop(self, params: Params, caller: Caller) -> dict[str, Any]:
        grace_ms, now = params.milliseconds("grace_ms"), params.flag("now")
        params.done()
        self._notifier.stopping("draining")
        report = await self._supervisor.stop(grace_ms, now, caller.progress)
        return {"finished": report.finished, "handed_back": [asdict(job) for job in report.handed_back]}

    async def _quiet(self, params: Params, caller: Caller) -> dict[str, Any]:
        params.done()
        self._supervisor.quiet(None, caller.who)
        return self._states()

    async def _unquiet(self, params: Params, caller: Caller) -> dict[str, Any]:
        params.done()
        self._supervisor.unquiet(None, caller.who)
        return self._states()

    async def _queue_quiet(self, params: Params, caller: Caller) -> dict[str, Any]:
        queue = self._own_queue(params)
        self._supervisor.quiet(queue, caller.who)
        return {"queue": (await self._queue_documents([queue]))[queue]}

    async def _queue_unquiet(self, params: Params, caller: Caller) -> dict[str, Any]:
        queue = self._own_queue(params)
        self._supervisor.unquiet(queue, caller.who)
        return {"queue": (await self._queue_documents([queue]))[queue]}

    async def _queue_scale(self, params: Params, caller: Caller) -> dict[str, Any]:
        to = params.scale("to")
        queue = self._own_queue(params)
        was, now = self._supervisor.scale(queue, to, caller.who)
        return {"queue": queue, "workers": now, "was": was}

    async def _worker_list(self, params: Params, _caller: Caller) -> dict[str, Any]:
        params.done()
        return {"workers": [status.worker_document(w) for view in self._supervisor.views() for w in view.workers]}

    async def _config_show(self, params: Params, _caller: Caller) -> dict[str, Any]:
        from jobd.config.as_toml import show, show_toml

        origin = params.flag("origin")
        params.done()
        config = self._supervisor.config
        if not origin:
            return {"toml": show_toml(config)}
        entries = [{"key": key, "value": value, "origin": where} for key, value, where in show(config)]
        return {"entries": entries}

    def _own_queue(self, params: Params) -> str:
        """Return the parameter `queue`, the last one read: a queue of this host."""
        queue = params.text("queue")
        params.done()
        self._views([queue])
        return queue

    def _views(self, wanted: Sequence[str]) -> list[QueueView]:
        """Return the queues of these names, all without one."""
        views = self._supervisor.views()
        known = [view.name for view in views]
        for name in wanted:
            if name not in known:
                text = f'no such queue on this host: "{name}"; it runs {", ".join(known) or "none"}'
                raise NotThere("queue", name, text, known=known)
        return [view for view in views if not wanted or view.name in wanted]

    async def _queue_documents(self, wanted: Sequence[str] | None) -> dict[str, dict[str, Any]]:
        """Return {queue: its part of the status} for those of these queues, all for None, that this host runs."""
        views = [view for view in self._supervisor.views() if wanted is None or view.name in wanted]
        answer = await self._ask_redis(views)
        now_ms = _now_ms()
        return {view.name: status.queue_document(view, answer, now_ms) for view in views}

    async def _ask_redis(self, views: Sequence[QueueView]) -> RedisAnswer:
        configured = self._supervisor.config.queues
        limits = {name: queue.rate_limit.max for name, queue in configured.items() if queue.rate_limit is not None}
        return await ask_redis(self._runner, self._source, {view.name: limits.get(view.name, 0) for view in views})

    def _states(self) -> dict[str, Any]:
        return {"queues": [{"name": view.name, "state": view.state.value} for view in self._supervisor.views()]}

    def _facts(self) -> status.DaemonFacts:
        daemon, now = self._supervisor, time.monotonic()
        changed = daemon.config.changed_on_disk()
        return status.DaemonFacts(
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
            config_changed_s=_since_change_s(daemon.config.path) if changed else None,
            code_changed=bool(daemon.code_changed()),
            drift=daemon.drift(),
            last_reload=self._last_reload,
            now_ms=_now_ms(),
        )


def _step(step: Step) -> dict[str, Any]:
    return {
        "mark": step.mark.value,
        "queue": step.queue,
        "what": step.what,
        "how": step.how,
        "action": step.action.value,
        "keys": list(step.keys),
    }


def _since_change_s(path: Path) -> float | None:
    """Return how long ago the main file was written, None when it is gone (or a drop-in was what changed)."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
