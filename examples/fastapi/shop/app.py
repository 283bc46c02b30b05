"""A FastAPI application with one AsyncQueue for all requests, opened and closed by its lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from jobd.client import AsyncQueue
from jobd.errors import RedisUnavailable


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncQueue("email") as queue:
        app.state.email = queue
        yield


app = FastAPI(lifespan=lifespan)


class SignUp(BaseModel):
    user_id: int


def email_queue(request: Request) -> AsyncQueue:
    queue: AsyncQueue = request.app.state.email
    return queue


@app.post("/users", status_code=202)
async def sign_up(body: SignUp, email: Annotated[AsyncQueue, Depends(email_queue)]) -> dict[str, str]:
    try:
        # The id makes it safe to send the request again: the second add changes nothing.
        job = await email.add("welcome", {"userId": body.user_id}, job_id=f"welcome-{body.user_id}", attempts=3)
    except RedisUnavailable as error:
        raise HTTPException(503, "try again") from error
    return {"job": job.id}


@app.get("/jobs/{job_id}")
async def look(job_id: str, email: Annotated[AsyncQueue, Depends(email_queue)]) -> dict[str, object]:
    job = await email.get(job_id)
    if job is None:
        raise HTTPException(404, "no such job")
    return {"state": job.state, "result": job.result}
