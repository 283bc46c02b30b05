"""Handlers of the `email` queue. The NestJS application in this folder adds the jobs."""

from __future__ import annotations

from dataclasses import dataclass

from jobd import Job, Unrecoverable


@dataclass
class Welcome:
    """What a `welcome` job must contain; `jobd schema jobs --ts` writes it down for the TypeScript compiler."""

    userId: int  # noqa: N815 - the producer's name


def welcome(job: Job, data: Welcome) -> dict[str, int]:
    """Pretend to send a mail; in Node, `waitUntilFinished` resolves to what is returned here."""
    if data.userId < 0:
        raise Unrecoverable("no such user")
    job.progress(50)
    job.log(f"mail to user {data.userId} handed to the mail server")
    return {"sent": data.userId}
