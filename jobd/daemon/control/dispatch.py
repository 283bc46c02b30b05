"""From a request to the operation of that name: parameters checked, changes logged, then it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from jobd.daemon.logs import event_log
from jobd.errors import JobdError, Refused
from jobd.exits import Exit
from jobd.operations.daemon_side import DaemonSide
from jobd.operations.operation import Effect, Host, OnRedis, Place
from jobd.operations.params.reading import read_params
from jobd.operations.table import OPERATIONS, SUBSCRIBE
from jobd.protocol.control import BadRequest, RpcCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.daemon.control.server import Caller
    from jobd.engine.runner import AsyncRunner
    from jobd.operations.operation import Operation
    from jobd.operations.params.kinds import Params

_log = event_log(__name__)

_FIELD_MAX = 4 * 1024 * 1024
"""Bytes of one field of a job that the daemon reads whole: parsing more would hold its loop for a tenth of a second."""


class Daemon(DaemonSide, Host, Protocol):
    """What operations need of the daemon."""


class Dispatch:
    """Answers requests; `call` and `call_reading` are what the control servers are given."""

    def __init__(self, daemon: Daemon, runner: AsyncRunner, prefix: str) -> None:
        """Prepare. `daemon` has a method for each operation that needs one, named as it is with _ for the dot."""
        self._daemon = daemon
        self._runner = runner
        self._prefix = prefix

    async def call(self, method: str, params: dict[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Return the result of one method; changes are logged with the caller's uid and pid.

        Raises:
            BadRequest: there is no such method.
            JobdError: it did not succeed.
        """
        operation = _named(method)
        read = read_params(operation.params, params)
        if operation.effect is not Effect.CHANGES or getattr(read, "dry_run", False):
            return await self._perform(operation, read, caller)
        asked = _asked(operation, read)
        _log.info("change asked for", method=method, by=caller.who, uid=caller.uid, peer_pid=caller.pid, params=asked)
        try:
            return await self._perform(operation, read, caller)
        except JobdError as error:
            _log.warning("change refused", method=method, uid=caller.uid, peer_pid=caller.pid, reason=str(error))
            raise

    async def call_reading(self, method: str, params: dict[str, Any], caller: Caller) -> Mapping[str, Any]:
        """As `call`, for the status socket: what changes anything is refused (exit code 77)."""
        followed = [_named(str(params.get("to")))] if method == SUBSCRIBE.name else []
        for one in (_named(method), *followed):
            if one.effect is not Effect.READS:
                why = f"{one.name} changes something, and the status socket only reads"
            elif not one.for_status_group:
                why = f"{one.name} shows more than [daemon] status_group may see"
            else:
                continue
            raise Refused("not-permitted", f"{why}: it needs the control socket", exit_code=Exit.NOT_PERMITTED)
        return await self.call(method, params, caller)

    async def _perform(self, operation: Operation[Any, Any], params: Params, caller: Caller) -> Mapping[str, Any]:
        result: Mapping[str, Any]
        if isinstance(operation, OnRedis):
            place = Place(self._runner, self._prefix, caller, self._daemon, _FIELD_MAX)
            result = await operation.method()(place, params)
        else:
            result = await getattr(self._daemon, operation.method().__name__)(params, caller)
        return result


def _named(method: str) -> Operation[Any, Any]:
    operation = OPERATIONS.get(method)
    if operation is None:
        raise BadRequest(RpcCode.METHOD, "method-unknown", f'no such method: "{method[:80]}"')
    return operation


def _asked(operation: Operation[Any, Any], params: Params) -> dict[str, Any]:
    """Return the parameters that the log may show; of a list how many there are."""
    given = {name: getattr(params, name) for name in operation.logged}
    return {name: len(value) if isinstance(value, list) else value for name, value in given.items() if value}
