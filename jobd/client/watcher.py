"""Wait for the ends of jobs: one thread reads the queue's events for every waiting thread of a queue object."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from jobd.client.producer import RECHECK_S
from jobd.engine.outcome import End, Ending, job_outcome, past_events, watch_events
from jobd.errors import JobdError

if TYPE_CHECKING:
    from jobd.engine.keys import Keys
    from jobd.engine.runner import SyncRunner


class _Waiter:
    __slots__ = ("done", "ending", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.ending: Ending | None = None
        self.error: JobdError | None = None


class Watcher:
    """Belongs to one process and one pool; thread-safe. The reader runs only while somebody waits."""

    def __init__(self, runner: SyncRunner, keys: Keys, block_ms: int) -> None:
        self._runner = runner
        self._keys = keys
        self._block_ms = block_ms
        self._lock = threading.Lock()
        self._waiters: dict[str, list[_Waiter]] = {}
        self._reader: threading.Thread | None = None
        self._closed = False

    def wait(self, job_id: str, event_id: str, timeout_s: float | None) -> Ending | None:
        """Return how the job ended, None when `timeout_s` passed before it did.

        `event_id` is an event at or before the end: a job that is gone may have its end after it.

        Raises:
            RedisUnavailable: the connection failed; the job goes on, and waiting again is harmless.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        waiter = _Waiter()
        # Registered before the look at the hash: an end between the two must find the waiter.
        with self._lock:
            self._waiters.setdefault(job_id, []).append(waiter)
        try:
            while True:
                ending = self._runner.run(job_outcome(self._keys, job_id))
                if ending.end is End.MISSING:
                    return waiter.ending or self._search(job_id, event_id) or ending
                if ending.end is not End.PENDING:
                    return ending
                self._read_from(ending.value)
                left = RECHECK_S if end is None else min(RECHECK_S, end - time.monotonic())
                if waiter.done.wait(max(left, 0)):
                    if waiter.error is not None:
                        raise waiter.error
                    return waiter.ending
                if end is not None and time.monotonic() >= end:
                    return None
        finally:
            self._forget(job_id, waiter)

    def close(self) -> None:
        """End the reader and every wait; the caller closes the pool, which ends a read in Redis. Twice is harmless."""
        with self._lock:
            self._closed = True
        self._fail(JobdError("the queue object was closed"))

    def join(self) -> None:
        """Return when the reader has ended."""
        reader = self._reader
        if reader is not None and reader is not threading.current_thread():
            reader.join()

    def _search(self, job_id: str, after: str) -> Ending | None:
        while True:
            page = self._runner.run(past_events(self._keys, after))
            if job_id in page.endings:
                return page.endings[job_id]
            if not page.full:
                return None
            after = page.last_id

    def _read_from(self, event_id: str) -> None:
        """Have a reader; a running one is already past `event_id` or will come to it."""
        with self._lock:
            if self._closed:
                raise JobdError("the queue object was closed")
            if self._reader is None or not self._reader.is_alive():
                self._reader = threading.Thread(
                    target=self._read, args=(event_id,), name=f"jobd events {self._keys.queue}", daemon=True
                )
                self._reader.start()

    def _read(self, after: str) -> None:
        while True:
            with self._lock:
                if self._closed or not self._waiters:
                    self._reader = None
                    return
            try:
                page = self._runner.run(watch_events(self._keys, after, self._block_ms))
            except JobdError as error:
                with self._lock:
                    self._reader = None
                self._fail(error)
                return
            except Exception:
                # Closing takes the connection away in mid-read; redis-py trips over whatever it touches next.
                if self._is_closed():
                    return
                raise
            after = page.last_id
            for job_id, ending in page.endings.items():
                self._tell(job_id, ending)

    def _is_closed(self) -> bool:
        with self._lock:
            return self._closed

    def _tell(self, job_id: str, ending: Ending) -> None:
        with self._lock:
            for waiter in self._waiters.get(job_id, ()):
                waiter.ending = ending
                waiter.done.set()

    def _fail(self, error: JobdError) -> None:
        with self._lock:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.error = error
                    waiter.done.set()

    def _forget(self, job_id: str, waiter: _Waiter) -> None:
        with self._lock:
            waiters = self._waiters.get(job_id, [])
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self._waiters.pop(job_id, None)
