"""The runner that suits a source: one client, or on a Cluster whose queues have slots of their own, one for each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from redis.crc import key_slot

from jobd.engine.connect import async_client
from jobd.engine.keys import hash_tag
from jobd.engine.runner import AsyncRunner, Command, Word
from jobd.locate import parse_redis_url

if TYPE_CHECKING:
    from jobd.errors import RedisRefused
    from jobd.locate import RedisSource

T = TypeVar("T")
R = TypeVar("R")
NO_KEY = "{jobd}"
"""What has no key (PING, INFO) goes to the server of this one: any server answers it."""

_SLOTS = 16384
_KEYLESS = ("PING", "INFO", "ECHO", "TIME", "CONFIG", "CLIENT", "CLUSTER")


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
        self._by_key: dict[str, AsyncRunner] = {}
        """Those of keys without a tag, which say their slot as a whole: hosts come and go, and each has some."""
        self._needed: set[str] = set()
        """Such keys that were asked about since `close_idle`."""

    one_server = False

    async def run(self, command: Command[T]) -> T:
        """Run one command; a SCAN that means no slot goes through every primary. Raises as AsyncRunner.run."""
        key = key_of(command)
        return await (self._scan(command) if key is None else self._runner(key).run(command))

    async def run_many(self, commands: Sequence[Command[T]]) -> list[T]:
        """Run commands, those of one server in one round trip, in order there."""
        return await self._spread(commands, AsyncRunner.run_many)

    async def run_each(self, commands: Sequence[Command[T]]) -> list[T | RedisRefused]:
        """As AsyncRunner.run_each, those of one server in one round trip."""
        return await self._spread(commands, AsyncRunner.run_each)

    async def _spread(
        self, commands: Sequence[Command[T]], run: Callable[[AsyncRunner, Sequence[Command[T]]], Awaitable[list[R]]]
    ) -> list[R]:
        shares: dict[AsyncRunner, list[int]] = {}
        for place, command in enumerate(commands):
            shares.setdefault(self._runner(key_of(command) or NO_KEY), []).append(place)
        answers = await asyncio.gather(
            *(run(runner, [commands[place] for place in places]) for runner, places in shares.items())
        )
        found: dict[int, R] = {}
        for places, results in zip(shares.values(), answers, strict=True):
            found.update(zip(places, results, strict=True))
        return [found[place] for place in range(len(commands))]

    async def renew(self, source: RedisSource) -> None:
        """As AsyncRunner.renew, for every client."""
        self._source = source
        for runner in self._all():
            await AsyncRunner.renew(runner, source)

    async def close_idle(self) -> None:
        """As AsyncRunner.close_idle, for every client; those of single keys that nobody has needed are given up."""
        unused = self._by_key.keys() - self._needed
        self._needed.clear()
        for runner in [self._by_key.pop(key) for key in unused]:
            await AsyncRunner.aclose(runner)
        for runner in self._all():
            await AsyncRunner.close_idle(runner)

    async def aclose(self) -> None:
        """Close every client."""
        for runner in self._all():
            await AsyncRunner.aclose(runner)

    def _all(self) -> list[AsyncRunner]:
        return [*self._by_tag.values(), *self._by_key.values()]

    async def _scan(self, command: Command[T]) -> T:
        """Answer a SCAN with the keys of all primaries, to the end of each: a cursor is of one server only."""
        found: list[bytes] = []
        for key in await self.run(_PRIMARIES):
            cursor: Word = 0
            while True:
                words = (command.words[0], cursor, *command.words[2:])
                cursor, keys = await self._runner(key).run(Command(words, _page))
                found += keys
                if not cursor:
                    break
        return command.read([b"0", found])

    def _runner(self, key: str) -> AsyncRunner:
        tag = hash_tag(key)
        runners, name = (self._by_tag, tag) if tag else (self._by_key, key)
        if not tag:
            self._needed.add(key)
        found = runners.get(name)
        if found is None:
            found = runners[name] = AsyncRunner(async_client(self._source, key=f"{{{name}}}"))
        return found


def key_of(command: Command[Any]) -> str | None:
    """Return a key whose server runs a command; None for a SCAN that is about every server.

    Of a script it is the word after their number, else the word after the name, with the exceptions below.
    """
    words = command.words
    if command.script is not None:
        return _text(words[1])
    match words[0]:
        case "SCAN":
            pattern = re.sub(r"\\(.)", r"\1", _text(words[3]))
            return pattern if hash_tag(pattern) else None
        case "XREAD":
            return _text(words[words.index("STREAMS") + 1])
        case "MEMORY":
            return _text(words[2])
        case name if name in _KEYLESS:
            return NO_KEY
    return _text(words[1])


def _text(word: Word) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _page(reply: Any) -> tuple[int, list[bytes]]:
    return int(reply[0]), reply[1]


def _keys_of_primaries(reply: Any) -> list[str]:
    """Return for each primary a key in one of its slots, from a reply to CLUSTER SLOTS."""
    slots = {bytes(owner[2]): first for first, _, owner, *_ in reply}
    return [f"{{{tag_in(slot)}}}" for slot in slots.values()]


@cache
def tag_in(slot: int) -> str:
    """Return a hash tag of this slot: the first number that is one (of 16384 slots about as many are tried)."""
    return next(tag for tag in map(str, range(100 * _SLOTS)) if key_slot(tag.encode()) == slot)


_PRIMARIES = Command(("CLUSTER", "SLOTS"), _keys_of_primaries)
