"""Add jobs and look at what became of them, by their keys; nothing waits in a thread."""

from __future__ import annotations

import json
from typing import Any

import redis

from jobd.client import Queue
from tests.support.waiting import wait_until

_LISTS = ("waiting", "wait", "active", "paused")

# One look, which a full Redis allows, too.
_PLACES = """#!lua flags=no-writes
local found = {}
for index = 3, #ARGV do
  local is_list = index < 5
  found[#found + 1] = redis.call(is_list and 'LPOS' or 'ZRANK', ARGV[1] .. ARGV[index], ARGV[2]) or -1
end
return found
"""


class Jobs:
    """The jobs of one queue, seen from Redis."""

    def __init__(self, client: redis.Redis, url: str, prefix: str, queue: str) -> None:
        self._r = client
        self._base = f"{prefix}:{queue}:"
        self._queue = Queue(queue, url=url, prefix=prefix)

    def close(self) -> None:
        """Close the producer's connection."""
        self._queue.close()

    def add(self, data: Any = None, name: str = "x", **options: Any) -> str:
        """Add one job; return its id."""
        return str(self._queue.add(name, data if data is not None else {}, **options).id)

    def hash(self, job_id: str) -> dict[str, str]:
        """Return the job's fields."""
        return dict(self._r.hgetall(self._base + job_id))

    def logs(self, job_id: str) -> list[str]:
        """Return the job's log lines."""
        return list(self._r.lrange(f"{self._base}{job_id}:logs", 0, -1))

    def ids(self, state: str) -> list[str]:
        """Return the ids of one state, in Redis' order."""
        key = self._base + {"waiting": "wait"}.get(state, state)
        return list(self._r.lrange(key, 0, -1) if state in _LISTS else self._r.zrange(key, 0, -1))

    def state(self, job_id: str) -> str | None:
        """Return the one state a job is in, seen in one moment; fails when it is in several."""
        names = ("wait", "active", "prioritized", "delayed", "completed", "failed")
        places = self._r.eval(_PLACES, 0, self._base, job_id, *names)
        found = [name for name, place in zip(names, places, strict=True) if place != -1]
        assert len(found) <= 1, f"job {job_id} is in {found}"
        return {"wait": "waiting"}.get(found[0], found[0]) if found else None

    def wait_state(self, job_id: str, state: str, deadline: float = 10.0) -> dict[str, str]:
        """Return the job's fields once it is in this state."""
        wait_until(lambda: job_id in self.ids(state), deadline, what=f"{job_id} {state}")
        return self.hash(job_id)

    def result(self, job_id: str, deadline: float = 10.0) -> Any:
        """Return the result of a job once it has completed."""
        return json.loads(self.wait_state(job_id, "completed", deadline)["returnvalue"])
