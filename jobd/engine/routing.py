"""The runner that suits a source: one client, or on a Cluster whose queues have slots of their own, one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from jobd.engine.connect import async_client
from jobd.engine.keys import hash_tag
from jobd.engine.runner import AsyncRunner, Command
from jobd.locate import parse_redis_url

if TYPE_CHECKING:
    from jobd.locate import RedisSource

T = TypeVar("T")
NO_KEY = "{jobd}"
"""What has no key (PING, INFO) goes to the server of this one: any server answers it."""


def runner_on(source: RedisSource) -> AsyncRunner:
    """Return a runner of its own; close it.

    Raises:
        InputError: as connection_kwargs.
    """
    address = parse_redis_url(source.url)
    if address.is_cluster and not hash_tag(source.prefix):
        return RoutedRunner(source)
    return AsyncRunner(async_client(source))


class RoutedRunner(AsyncRunner):
    """Sends each command to the server of its key; a client for each hash tag, made when it is first needed."""

    def __init__(self, source: RedisSource) -> None:
        super().__init__(async_client(source, key=NO_KEY))
        self._source = source
        self._by_tag = {hash_tag(NO_KEY): AsyncRunner(self.client)}

    async def run(self, command: Command[T]) -> T:
        """Run one command. Raises as AsyncRunner.run."""
        return await self._runner(command).run(command)

    async def run_many(self, commands: Sequence[Command[T]]) -> list[T]:
        """Run commands, those of one server in one round trip, in order there."""
        shares: dict[AsyncRunner, list[int]] = {}
        for place, command in enumerate(commands):
            shares.setdefault(self._runner(command), []).append(place)
        answers = await asyncio.gather(
            *(runner.run_many([commands[place] for place in places]) for runner, places in shares.items())
        )
        found: dict[int, T] = {}
        for places, results in zip(shares.values(), answers, strict=True):
            found.update(zip(places, results, strict=True))
        return [found[place] for place in range(len(commands))]

    async def renew(self, source: RedisSource) -> None:
        """As AsyncRunner.renew, for every client."""
        self._source = source
        for runner in self._by_tag.values():
            await AsyncRunner.renew(runner, source)

    async def aclose(self) -> None:
        """Close every client."""
        for runner in self._by_tag.values():
            await AsyncRunner.aclose(runner)

    def _runner(self, command: Command[Any]) -> AsyncRunner:
        key = _key_of(command)
        # A key of no queue (the hosts') has no tag: the whole of it says its slot.
        tag = hash_tag(key) or key
        found = self._by_tag.get(tag)
        if found is None:
            found = self._by_tag[tag] = AsyncRunner(async_client(self._source, key=f"{{{tag}}}"))
        return found


def _key_of(command: Command[Any]) -> str:
    """Return the first key of a command: of a script the word after their number, else the word after the name."""
    words = command.words
    if command.script is None and words[0] in ("PING", "INFO", "ECHO", "SCAN"):
        return NO_KEY
    key = words[1]
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
