"""Questions that a Redis user may not be allowed to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from jobd.engine.runner import Command
    from jobd.operations.operation import Place

T = TypeVar("T")


async def answer_if_allowed(place: Place, command: Command[T]) -> T | None:
    """Return the answer, None where this user may not ask."""
    try:
        return await place.runner.run(command)
    except RedisRefused:
        return None


async def answers_if_allowed(place: Place, commands: list[Command[T]]) -> list[T]:
    """Return the answers, none where this user may not ask."""
    try:
        return await place.runner.run_many(commands)
    except RedisRefused:
        return []
