"""Handlers of the queue `email`; nothing of FastAPI is imported here."""

from __future__ import annotations


async def welcome(*, userId: int) -> dict[str, int]:  # noqa: N803 - the producer's name
    return {"welcomed": userId}
