"""What producers call: add jobs, wait for their results, look at a queue. Needs redis-py only.

Names and the rooms behind them are loaded when they are first used: `import jobd.client` is part of the start of every
web process and command that adds jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.lazy import lazy_names

if TYPE_CHECKING:
    from jobd.client.async_queue import AsyncJobHandle, AsyncQueue
    from jobd.client.events import QueueEvent
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
    "QueueEvent": "jobd.client.events",
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
    "QueueEvent",
    "RedisUnavailable",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
