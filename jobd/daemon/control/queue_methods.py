"""The methods about queues and jobs in Redis: what the command line does itself when no daemon answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.clock import SYSTEM_CLOCK
from jobd.engine.admin import pause_queue
from jobd.engine.keys import Keys
from jobd.engine.options import check_queue_name
from jobd.errors import NotThere
from jobd.operations import on_redis as operations
from jobd.operations.selection import Selection
from jobd.protocol.control import BadParams, Method

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from jobd.daemon.control.params import Params
    from jobd.daemon.control.server import Caller
    from jobd.engine.runner import AsyncRunner

    OwnQueues = Callable[[Sequence[str] | None], Awaitable[dict[str, dict[str, Any]]]]


class QueueMethods:
    """Runs operations on Redis; of a queue of this host, what the host knows is laid over what Redis says.

    `own_queues` returns {queue: its part of the status} for those of the given names, all for None, that run here.
    """

    def __init__(self, runner: AsyncRunner, prefix: str, own_queues: OwnQueues) -> None:
        self._runner = runner
        self._prefix = prefix
        self._own_queues = own_queues

    def table(self) -> dict[Method, Callable[[Params, Caller], Awaitable[dict[str, Any]]]]:
        """Return the methods by name."""
        return {
            Method.QUEUE_LIST: self._queue_list,
            Method.QUEUE_SHOW: self._queue_show,
            Method.QUEUE_PAUSE: self._queue_pause,
            Method.QUEUE_RESUME: self._queue_resume,
            Method.JOB_ADD: self._job_add,
            Method.JOB_LIST: self._job_list,
            Method.JOB_SHOW: self._job_show,
            Method.JOB_LOGS: self._job_logs,
            Method.JOB_RETRY: self._job_retry,
            Method.JOB_REMOVE: self._job_remove,
        }

    async def _queue_list(self, params: Params, _caller: Caller) -> dict[str, Any]:
        params.done()
        rows = {row["name"]: row for row in await operations.queue_list(self._runner, self._prefix)}
        own = await self._own_queues(None)
        names = sorted({*rows, *own})
        return {"queues": [_laid_over(rows.get(name), own.get(name)) for name in names]}

    async def _queue_show(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue = _queue(params)
        params.done()
        return {"queue": await self._shown(queue)}

    async def _queue_pause(self, params: Params, caller: Caller) -> dict[str, Any]:
        queue, reason = _queue(params), params.optional_text("reason")
        params.done()
        try:
            await operations.queue_pause(self._runner, self._prefix, queue, who=caller.who, reason=reason)
        except NotThere as error:
            await self._only_if_own(queue, error)
            keys, now_ms = Keys(self._prefix, queue), SYSTEM_CLOCK.now_ms()
            await self._runner.run(pause_queue(keys, who=caller.who, why=reason, now_ms=now_ms))
        return {"queue": await self._shown(queue)}

    async def _queue_resume(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue = _queue(params)
        params.done()
        try:
            await operations.queue_resume(self._runner, self._prefix, queue)
        except NotThere as error:
            await self._only_if_own(queue, error)
        return {"queue": await self._shown(queue)}

    async def _job_add(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue, name = _queue(params), params.text("name")
        data, options = params.anything("data"), params.table("options")
        params.done()
        return {
            "job": await operations.job_add(self._runner, self._prefix, queue, name=name, data=data, options=options)
        }

    async def _job_list(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue, filters = _queue(params), _filters(params)
        params.done()
        try:
            jobs = await operations.job_list(self._runner, self._prefix, queue, Selection.of(**filters))
        except NotThere as error:
            await self._only_if_own(queue, error)
            jobs = []
        return {"jobs": jobs}

    async def _job_show(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue, job_id = _queue(params), params.text("id")
        params.done()
        try:
            return {"job": await operations.job_show(self._runner, self._prefix, queue, job_id)}
        except NotThere as error:
            await self._only_if_own(queue, error)
            raise NotThere("job", job_id) from error

    async def _job_logs(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue, job_id = _queue(params), params.text("id")
        params.done()
        try:
            return {"lines": await operations.job_logs(self._runner, self._prefix, queue, job_id)}
        except NotThere as error:
            await self._only_if_own(queue, error)
            raise NotThere("job", job_id) from error

    async def _job_retry(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue, which = _which(params)
        return await self._bulk(operations.job_retry, queue, which)

    async def _job_remove(self, params: Params, _caller: Caller) -> dict[str, Any]:
        queue, which = _which(params)
        return await self._bulk(operations.job_remove, queue, which)

    async def _bulk(
        self, operation: Callable[..., Awaitable[dict[str, Any]]], queue: str, which: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            return await operation(self._runner, self._prefix, queue, **which)
        except NotThere as error:
            await self._only_if_own(queue, error)
            return {"done": 0, "gone": len(which["ids"]), "ids": []}

    async def _only_if_own(self, queue: str, error: NotThere) -> None:
        """Pass over that Redis does not know a queue when this host runs it: nobody has written to it yet."""
        if error.kind != "queue" or queue not in await self._own_queues([queue]):
            raise error

    async def _shown(self, queue: str) -> dict[str, Any]:
        row: dict[str, Any] | None = None
        try:
            row = await operations.queue_show(self._runner, self._prefix, queue)
        except NotThere as error:
            await self._only_if_own(queue, error)
        return _laid_over(row, (await self._own_queues([queue])).get(queue))


def _laid_over(row: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what Redis says with what this host knows over it; a count that only one of them has stays."""
    known = {name: value for name, value in (own or {}).items() if value is not None or name not in (row or {})}
    return {**(row or {}), **known}


def _queue(params: Params) -> str:
    return check_queue_name(params.text("queue"))


def _filters(params: Params) -> dict[str, Any]:
    found = {
        "state": params.optional_text("state"),
        "name": params.optional_text("name"),
        "error": params.optional_text("error"),
        "since_ms": params.milliseconds("since_ms"),
        "older_ms": params.milliseconds("older_ms"),
        "limit": params.count("limit"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _which(params: Params) -> tuple[str, dict[str, Any]]:
    """Return the queue and which of its jobs: ids, filters or all, exactly one of the three.

    Raises:
        BadParams: none of them or more than one; a bulk method must not take "nothing said" for "all".
    """
    queue, ids, filters = _queue(params), params.texts("ids"), _filters(params)
    everything, dry_run = params.flag("all"), params.flag("dry_run")
    params.done()
    given = [name for name, there in (("ids", ids), ("filters", filters), ("all", everything)) if there]
    if len(given) != 1:
        told = " and ".join(given) or "none of them"
        raise BadParams("ids", f"ids: name the jobs by ids, by filters or with all = true, got {told}")
    selection = None if ids else Selection.of(**filters)
    return queue, {"ids": ids, "selection": selection, "dry_run": dry_run}
