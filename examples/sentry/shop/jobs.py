from __future__ import annotations

from jobd import Job


def charge(job: Job) -> dict[str, int]:
    if job.data["amount"] < 0:
        raise ValueError("cannot charge less than nothing")
    return {"charged": job.data["amount"]}
