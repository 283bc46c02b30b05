"""What a program sees that has no Redis: its own line and the reason, without the way through redis-py."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path

import pytest

from jobd.client import AsyncQueue, Queue
from jobd.errors import RedisUnavailable
from jobd.exits import Exit, exit_of


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("verb", ["add", "get"])
def test_the_traceback_is_one_and_ends_with_the_reason(tmp_path: Path, verb: str) -> None:
    url = f"unix://{tmp_path}/none.sock"
    with Queue("email", url=url) as queue, pytest.raises(RedisUnavailable) as caught:
        queue.add("welcome") if verb == "add" else queue.get("7")

    async def other() -> None:
        async with AsyncQueue("email", url=url) as queue:
            await (queue.add("welcome") if verb == "add" else queue.get("7"))

    with pytest.raises(RedisUnavailable) as caught_async:
        asyncio.run(other())
    for error in (caught.value, caught_async.value):
        text = shown(error)
        assert text.count("Traceback (most recent call last)") == 1
        assert "No such file or directory" in text.splitlines()[-1]
        assert exit_of(error) == Exit.UNAVAILABLE
