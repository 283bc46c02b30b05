"""Handlers of the `email` queue. The NestJS application in this folder adds the jobs."""

from __future__ import annotations

from jobd import Job, Unrecoverable


def welcome(job: Job) -> dict[str, int]:
    """Pretend to send a mail; what is returned here is what `waitUntilFinished` resolves to in Node."""
    user_id = job.data["userId"]
    if user_id < 0:
        raise Unrecoverable("no such user")
    job.progress(50)
    job.log(f"mail to user {user_id} handed to the mail server")
    return {"sent": user_id}
