"""What producers call: add jobs, wait for their results, look at a queue. Needs redis-py only (interface.md 4)."""

from __future__ import annotations

from jobd.client.async_queue import AsyncJobHandle, AsyncQueue
from jobd.client.queue import JobHandle, Queue
from jobd.engine.backoff import Backoff

__all__ = ["AsyncJobHandle", "AsyncQueue", "Backoff", "JobHandle", "Queue"]
