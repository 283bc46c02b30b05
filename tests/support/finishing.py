"""Finish a waiting job as a worker would, without one: for tests of who waits for results."""

from __future__ import annotations

import redis

from jobd.engine.keys import Keys


def finish(
    r: redis.Redis, keys: Keys, job_id: str, *, result: str | None = None, reason: str = "", keep: bool = True
) -> None:
    """Complete the job with `result` (JSON), or fail it with `reason`; without `keep` its hash is gone at once."""
    state, field, value = ("failed", "failedReason", reason) if result is None else ("completed", "returnvalue", result)
    with r.pipeline() as pipe:
        pipe.lrem(keys.wait, 1, job_id)
        if keep:
            pipe.hset(keys.job(job_id), field, value)
            pipe.zadd(keys.base + state, {job_id: 1})
        else:
            pipe.delete(keys.job(job_id))
        pipe.xadd(keys.events, {"event": state, "jobId": job_id, field: value, "prev": "active"})
        pipe.execute()
