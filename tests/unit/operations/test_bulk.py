"""How a change of many jobs is cut: what a daemon does in one go is bounded, whatever is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from jobd.engine.reading import COUNTED, QueueFacts
from jobd.engine.runner import AsyncRunner, Command
from jobd.engine.selection import PAGE
from jobd.operations import bulk
from jobd.operations.operation import NamedCaller, Place
from jobd.operations.params.jobs import Which


class Recorder(AsyncRunner):
    """Answers as a queue of 1,000 failed jobs; `pages` and `acts` are how many each round trip was about."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.pages: list[int] = []
        self.acts: list[int] = []
        self.left = 1000

    async def run(self, command: Command[Any]) -> Any:
        name = command.script.name if command.script else ""
        if name == "queue_facts":
            counts = {state.value: 0 for state in COUNTED} | {"failed": self.left}
            return QueueFacts(counts, False, None, None, None, None, None, None, None, None, True)
        assert name == "list_jobs"
        assert command.words[-1] == 0, "no payload is read"
        start, stop = int(command.words[4]), int(command.words[5])
        self.pages.append(stop - start + 1)
        fields = [b"name", b"n", b"timestamp", b"1"]
        return command.read([[b"j%d" % number, fields, []] for number in range(start, min(stop + 1, self.left))])

    async def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        if commands[0].script is None or commands[0].script.name != "retry_job":
            return [await self.run(command) for command in commands]
        self.acts.append(len(commands))
        self.left -= len(commands)
        return [0] * len(commands)


@pytest.mark.parametrize("chosen", [{"all": True}, {"ids": [f"j{number}" for number in range(1000)]}])
def test_many_jobs_are_changed_a_page_at_a_time(chosen: dict[str, Any]) -> None:
    recorder = Recorder()
    place = Place(recorder, "bull", NamedCaller("alice"))
    report = asyncio.run(bulk.retry(place, Which(queue="q", **chosen)))
    assert report["done"] == 1000
    assert max(recorder.acts) <= PAGE
    assert not recorder.pages or max(recorder.pages) <= PAGE
