"""What producers call: add jobs, wait for their results, look at a queue. Needs redis-py only.

Names and the rooms behind them are loaded when they are first used: `import jobd.client` is part of the start of every
web process and command that adds jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobd.client.async_queue import AsyncJobHandle, AsyncQueue
    from jobd.client.flow import Flow, FlowHandle
    from jobd.client.queue import JobHandle, Queue
    from jobd.engine.backoff import Backoff
    from jobd.errors import InputError, JobdError, JobFailed, RedisUnavailable

_HOMES = {
    "AsyncJobHandle": "jobd.client.async_queue",
    "AsyncQueue": "jobd.client.async_queue",
    "Backoff": "jobd.engine.backoff",
    "Flow": "jobd.client.flow",
    "FlowHandle": "jobd.client.flow",
    "InputError": "jobd.errors",
    "JobFailed": "jobd.errors",
    "JobHandle": "jobd.client.queue",
    "JobdError": "jobd.errors",
    "Queue": "jobd.client.queue",
    "RedisUnavailable": "jobd.errors",
}

__all__ = [
    "AsyncJobHandle",
    "AsyncQueue",
    "Backoff",
    "Flow",
    "FlowHandle",
    "InputError",
    "JobFailed",
    "JobHandle",
    "JobdError",
    "Queue",
    "RedisUnavailable",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'jobd.client' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
