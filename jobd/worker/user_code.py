"""What of the application a worker calls beside its handlers: setup, teardown, wraps, on_failed."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.handlers.lookup import load_callable
from jobd.worker.handlers.monkeypatches import newly_replaced
from jobd.worker.handlers.on_failed import OnFailed, load_on_failed
from jobd.worker.handlers.wraps import Wrap, load_wraps
from jobd.worker.run.wording import reason_of, trace_of
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.protocol import worker as messages

TEARDOWN_LIMIT_S = 60.0
"""What an async `teardown` may take; a `def` has as long, after which the daemon kills a worker that stands still."""


class UserCode:
    """What of the application this worker calls."""

    def __init__(
        self, policies: JobPolicies, wraps: list[Wrap], on_failed: OnFailed | None, setup: Any, teardown: Any
    ) -> None:
        self.policies = policies
        self.wraps = wraps
        self.on_failed = on_failed
        self.setup = setup
        self.teardown = teardown

    @classmethod
    def load(cls, start: messages.Start) -> UserCode:
        """Import everything a Start names. Raises HandlerError."""
        wraps = load_wraps(start.wrap)
        on_failed = load_on_failed(start.on_failed)
        policies = JobPolicies(start.numbers, wraps, on_failed)
        setup = load_callable(start.setup) if start.setup else None
        teardown = load_callable(start.teardown) if start.teardown else None
        return cls(policies, wraps, on_failed, setup, teardown)

    async def set_up(self) -> str | None:
        """Run the application's setup; return what went wrong, if anything."""
        try:
            await _call(self.setup)
        # The user's code, SystemExit included.
        except BaseException as error:
            return f"{type(error).__name__}: {reason_of(error)}\n{trace_of(error)}"
        replaced = newly_replaced()
        return f"it replaced {replaced}, on which a worker runs" if replaced else None

    async def tear_down(self, give_up: Callable[[], None], limit_s: float = TEARDOWN_LIMIT_S) -> None:
        """Run the application's teardown; one that never ends must not leave a process behind with each reload.

        Args:
            give_up: Ends the process; called when a teardown that was cancelled goes on all the same.
            limit_s: A `def` that blocks is not ended by it: the daemon sees a loop that stands still.
        """
        last = asyncio.get_running_loop().call_later(limit_s + 1, give_up)
        try:
            async with asyncio.timeout(limit_s) as limit:
                await _call(self.teardown)
        except BaseException as error:
            reason = f"not over after {limit_s:g}s" if limit.expired() else reason_of(error)
            log.warning("teardown failed: %s\n%s", reason, trace_of(error))
        last.cancel()


async def _call(function: Any) -> None:
    if function is None:
        return
    result = function()
    if inspect.isawaitable(result):
        await result
