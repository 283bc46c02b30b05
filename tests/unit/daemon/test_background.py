"""Tasks that nobody awaits."""

from __future__ import annotations

import asyncio
from typing import Any

from jobd.daemon.background import Background


async def fails() -> None:
    raise ValueError("unforeseen")


def test_what_one_dies_of_is_logged_with_its_traceback_and_told(caplog: Any) -> None:
    died: list[Exception] = []

    async def scene() -> None:
        background = Background()
        background.start(fails(), "a", died=died.append)
        background.start(asyncio.sleep(0), "b")
        assert len(background) == 2
        await background.wait(10)
        assert not background

    asyncio.run(scene())
    (record,) = caplog.records
    assert (record.getMessage(), record.fields["task"]) == ("background task failed", "a")
    assert record.exc_info is not None
    assert [str(error) for error in died] == ["unforeseen"]


def test_stop_ends_those_that_run_and_that_is_no_failure(caplog: Any) -> None:
    async def scene() -> None:
        background = Background()
        await background.stop()
        for _ in range(2):
            background.start(asyncio.sleep(3600), "long")
        await background.wait(0.001)
        assert len(background) == 2
        await asyncio.gather(background.stop(), background.stop())
        assert not background

    asyncio.run(scene())
    assert caplog.records == []
