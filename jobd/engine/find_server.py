"""Where the server is now that a URL of Sentinel or of a Cluster means: asked each time a connection is opened.

So a connection made anew after a failover is one to the new primary, by the same way as behind a DNS name: what the
demoted one refuses (READONLY, MOVED) is sent once more on a connection made anew.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis.asyncio.connection as asyncio_redis
import redis.connection as sync_redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

if TYPE_CHECKING:
    from jobd.locate import RedisAddress

Node = tuple[str, int]
ASK_LIMIT_S = 2.0
"""How long one node may take to say where the server is, before the next one is asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What one node is asked."""

    node: Node
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Whom to ask, and what for. `key`: on a Cluster the server is the one that owns this key's slot.

    `ask_with` is what a connection to one of the nodes takes beside host and port: credentials and certificates.
    """

    address: RedisAddress
    key: str
    ask_with: dict[str, Any]

    def search(self) -> Generator[Question, Any, Node]:
        """Yield questions, take a reply or an exception for each; return where the server is.

        Raises:
            ConnectionError (redis-py's): nobody knows it.
        """
        said = []
        for node in self.address.nodes:
            words = ("CLUSTER", "SLOTS") if self.address.is_cluster else self._ask_sentinel()
            reply = yield Question(node, words)
            if isinstance(reply, Exception):
                said.append(f"{_shown(node)}: {reply}")
                continue
            found = self._owner(reply, node) if self.address.is_cluster else self._primary(reply)
            if found is not None:
                return found
            said.append(f"{_shown(node)}: {self._unknown()}")
        raise RedisConnectionError("; ".join(said))

    def _ask_sentinel(self) -> tuple[str, ...]:
        return ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.address.master)

    def _unknown(self) -> str:
        if self.address.is_cluster:
            return "no node serves this slot"
        return f'knows no master "{self.address.master}"'

    def _owner(self, ranges: Any, asked: Node) -> Node | None:
        """Return who owns the slot in a reply to CLUSTER SLOTS: rows of first, last, [host, port, id, …], replicas."""
        slot = key_slot(self.key.encode())
        for first, last, owner, *_ in ranges:
            if first <= slot <= last:
                # A node that does not know its own address leaves it empty: the one it was asked at.
                return _text(owner[0]) or asked[0], int(owner[1])
        return None

    @staticmethod
    def _primary(reply: Any) -> Node | None:
        return None if reply is None else (_text(reply[0]), int(reply[1]))


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _shown(node: Node) -> str:
    return f"{node[0]}:{node[1]}"


def find_sync(whereabouts: Whereabouts) -> Node:
    """Return where the server is. Raises as Whereabouts.search."""
    search = whereabouts.search()
    question = next(search)
    try:
        while True:
            question = search.send(_ask(question, whereabouts))
    except StopIteration as end:
        found: Node = end.value
        return found


async def find_async(whereabouts: Whereabouts) -> Node:
    """As find_sync, for asyncio."""
    search = whereabouts.search()
    question = next(search)
    try:
        while True:
            question = search.send(await _ask_async(question, whereabouts))
    except StopIteration as end:
        found: Node = end.value
        return found


def _ask(question: Question, whereabouts: Whereabouts) -> Any:
    kind = sync_redis.SSLConnection if whereabouts.address.tls else sync_redis.Connection
    host, port = question.node
    connection: Any = kind(host=host, port=port, retry=Retry(NoBackoff(), 0), **whereabouts.ask_with)
    try:
        connection.connect()
        connection.send_command(*question.words)
        return connection.read_response()
    except (RedisError, OSError) as error:
        return error
    finally:
        connection.disconnect()


async def _ask_async(question: Question, whereabouts: Whereabouts) -> Any:
    kind = asyncio_redis.SSLConnection if whereabouts.address.tls else asyncio_redis.Connection
    host, port = question.node
    connection: Any = kind(host=host, port=port, retry=AsyncRetry(NoBackoff(), 0), **whereabouts.ask_with)
    try:
        await connection.connect()
        await connection.send_command(*question.words)
        return await connection.read_response()
    except (RedisError, OSError) as error:
        return error
    finally:
        await connection.disconnect(nowait=True)


# --- connections of redis-py that ask first --------------------------------------------------------------------------


class _Seeking:
    """Asks where the server is, then connects there."""

    def __init__(self, *, whereabouts: Whereabouts, **kwargs: Any) -> None:
        self._whereabouts = whereabouts
        super().__init__(**kwargs)

    def _connect(self) -> Any:
        self.host, self.port = find_sync(self._whereabouts)
        return super()._connect()  # type: ignore[misc]


class _SeekingAsync:
    """As _Seeking, for asyncio."""

    def __init__(self, *, whereabouts: Whereabouts, **kwargs: Any) -> None:
        self._whereabouts = whereabouts
        super().__init__(**kwargs)

    async def _connect(self) -> None:
        self.host, self.port = await find_async(self._whereabouts)
        await super()._connect()  # type: ignore[misc]


class SeekingConnection(_Seeking, sync_redis.Connection):
    """A sync connection to wherever the server is."""


class SeekingTlsConnection(_Seeking, sync_redis.SSLConnection):
    """As SeekingConnection, encrypted."""


class SeekingAsyncConnection(_SeekingAsync, asyncio_redis.Connection):
    """An asyncio connection to wherever the server is."""


class SeekingAsyncTlsConnection(_SeekingAsync, asyncio_redis.SSLConnection):
    """As SeekingAsyncConnection, encrypted."""
