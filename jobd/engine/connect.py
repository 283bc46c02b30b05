"""Open connections to Redis the way jobd needs them: nothing is ever sent twice, every wait has an end.

redis-py 8 resends a command up to ten times when its connection breaks (an add would come in eleven times) and cuts a
blocking read after five seconds. Here every client has no retries, an answer limit of its own, RESP2 and bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from jobd.engine.connection_pool import AsyncPool, Pool
from jobd.engine.keys import hash_tag
from jobd.errors import InputError
from jobd.locate import check_tls_files, parse_redis_url

if TYPE_CHECKING:
    from jobd.locate import RedisAddress, RedisSource, Renewal

ANSWER_LIMIT_S = 5.0
"""How long a command may stay unanswered before its outcome is called unknown."""

CONNECT_LIMIT_S = 5.0
"""How long opening a connection may take."""

POOL_SIZE = 50
"""Connections of one client. More callers than that at once wait for a free one instead of being refused."""

CLIENT_NAME = "jobd"
"""CLIENT LIST shows it. No queue's worker name: BullMQ's getWorkers must not count a producer."""

_POOL_ONLY = frozenset({"max_connections", "timeout"})
_ANSWERING = frozenset({"username", "password", "credential_provider"})

if TYPE_CHECKING:
    RawConnection = redis.asyncio.connection.AbstractConnection


def connection_kwargs(source: RedisSource, key: str = "") -> dict[str, Any]:
    """Return what redis-py's connection classes take for this source, its secrets included; never print it.

    `key` is one of the keys that will be asked for, the prefix when not given: on a Cluster its slot says which server.

    Raises:
        UrlError (an InputError): the URL cannot be used, or a certificate it names cannot be read.
        InputError: the key has no hash tag, and the URL is that of a Cluster.
    """
    found, address = _server_kwargs(source), parse_redis_url(source.url)
    return found | _whereabouts(address, found, key or source.prefix) if address.nodes else found


def _server_kwargs(source: RedisSource) -> dict[str, Any]:
    address = parse_redis_url(source.url)
    check_tls_files(address)
    place = {"path": address.path} if address.scheme == "unix" else {"host": address.host, "port": address.port}
    found: dict[str, Any] = {**address.options, **place, "db": address.database}
    found |= {"username": address.username} if address.username else {}
    found |= {"password": address.password} if address.password else {}
    if source.username is not None:
        found["username"] = source.username
    if source.password is not None:
        found["password"] = source.password
    return found | {"protocol": 2, "decode_responses": False, "socket_connect_timeout": CONNECT_LIMIT_S}


def _whereabouts(address: RedisAddress, kwargs: dict[str, Any], key: str) -> dict[str, Any]:
    """Return what a connection that first asks where the server is takes more."""
    from jobd.engine.find_server import ASK_LIMIT_S, Whereabouts

    if address.is_cluster and not hash_tag(key):
        raise InputError(
            'on a Redis Cluster all keys of a queue must lie in one slot: give the prefix a hash tag, as in "{bull}", '
            "or every queue's name"
        )
    # Sentinel has users of its own; the nodes of a Cluster have the server's. Neither has databases.
    own = (*_ANSWERING, "db", "client_name") if address.master else ("db", "client_name")
    ask_with = {name: value for name, value in kwargs.items() if name not in {"host", "port", *own}}
    if address.sentinel_auth:
        *user, ask_with["password"] = address.sentinel_auth
        ask_with |= {"username": user[0]} if user else {}
    ask_with |= {"socket_connect_timeout": ASK_LIMIT_S, "socket_timeout": ASK_LIMIT_S}
    for name in _POOL_ONLY:
        ask_with.pop(name, None)
    return {"whereabouts": Whereabouts(address, key, ask_with)}


class _Renewed(CredentialProvider):
    """Asks for the credentials at each connection, so that a rotated secret is in use from the next one on."""

    def __init__(self, renewal: Renewal) -> None:
        self._renewal = renewal

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH is sent with: the password, or user and password."""
        kwargs = _server_kwargs(self._renewal.now())
        username, password = kwargs.get("username"), kwargs.get("password") or ""
        return (username, password) if username else (password,)


def sync_client(
    source: RedisSource, *, key: str = "", answer_limit_s: float | None = ANSWER_LIMIT_S
) -> redis.Redis:  # fmt: skip
    """Return a client with a pool of its own; no connection is open yet. None waits for an answer for ever.

    `key`: as connection_kwargs.

    Raises:
        InputError: as connection_kwargs.
    """
    kwargs = _pool_kwargs(source, key, answer_limit_s)
    kwargs["retry"] = Retry(NoBackoff(), 0)
    pool = Pool(connection_class=_sync_class(source), **kwargs)  # type: ignore[no-untyped-call]
    _try_options(pool)
    client = redis.Redis(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def async_client(
    source: RedisSource, *, key: str = "", answer_limit_s: float | None = ANSWER_LIMIT_S
) -> redis.asyncio.Redis:  # fmt: skip
    """As sync_client, for asyncio; use it on one event loop only."""
    kwargs = _pool_kwargs(source, key, answer_limit_s)
    kwargs["retry"] = AsyncRetry(NoBackoff(), 0)
    pool = AsyncPool(connection_class=_async_class(source), **kwargs)
    _try_options(pool)
    client = redis.asyncio.Redis(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


async def renew(client: redis.asyncio.Redis, source: RedisSource) -> None:
    """Have a client's next connections opened with the credentials of `source`; idle ones are closed now."""
    pool = client.connection_pool
    old = pool.connection_kwargs.get("whereabouts")
    for name in _ANSWERING:
        pool.connection_kwargs.pop(name, None)
    pool.connection_kwargs.update(_pool_credentials(source, old.key if old else ""))
    # Those in use end their command first.
    await pool.disconnect(inuse_connections=False)


def raw_connection(
    source: RedisSource, *, key: str = "", client_name: str | None = None, answer_limit_s: float | None = None
) -> RawConnection:
    """Return one asyncio connection without pool or retry, not yet connected; the caller connects and disconnects it.

    `key`: as connection_kwargs. `answer_limit_s` None suits a connection that blocks in Redis: the caller bounds its
    waits.

    Raises:
        InputError: as connection_kwargs.
    """
    kwargs = connection_kwargs(source if source.renewal is None else source.renewal.now(), key)
    for name in _POOL_ONLY:
        kwargs.pop(name, None)
    kwargs |= {"socket_timeout": answer_limit_s, "retry": AsyncRetry(NoBackoff(), 0)}
    if client_name is not None:
        kwargs["client_name"] = client_name
    try:
        return _async_class(source)(**kwargs)
    except TypeError as error:
        raise InputError(f"cannot read the Redis URL's options: {error}") from error


def _pool_kwargs(source: RedisSource, key: str, answer_limit_s: float | None) -> dict[str, Any]:
    defaults = {"client_name": CLIENT_NAME, "max_connections": POOL_SIZE, "timeout": answer_limit_s}
    return defaults | _pool_credentials(source, key) | {"socket_timeout": answer_limit_s}


def _pool_credentials(source: RedisSource, key: str) -> dict[str, Any]:
    kwargs = connection_kwargs(source, key)
    if source.renewal is None or not (kwargs.get("username") or kwargs.get("password")):
        return kwargs
    # redis-py takes either these or a provider.
    fixed = {name: value for name, value in kwargs.items() if name not in ("username", "password")}
    return fixed | {"credential_provider": _Renewed(source.renewal)}


def _sync_class(source: RedisSource) -> type[redis.connection.AbstractConnection]:
    address = parse_redis_url(source.url)
    if address.nodes:
        from jobd.engine import find_server

        return find_server.SeekingTlsConnection if address.tls else find_server.SeekingConnection
    if address.scheme == "unix":
        return redis.connection.UnixDomainSocketConnection
    return redis.connection.SSLConnection if address.tls else redis.connection.Connection


def _async_class(source: RedisSource) -> type[RawConnection]:
    address = parse_redis_url(source.url)
    if address.nodes:
        from jobd.engine import find_server

        return find_server.SeekingAsyncTlsConnection if address.tls else find_server.SeekingAsyncConnection
    if address.scheme == "unix":
        return redis.asyncio.connection.UnixDomainSocketConnection
    return redis.asyncio.connection.SSLConnection if address.tls else redis.asyncio.connection.Connection


def _try_options(pool: redis.ConnectionPool | redis.asyncio.ConnectionPool) -> None:
    """Make one connection object, unconnected: an unknown option in the URL is told now and not at first use."""
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        raise InputError(f"cannot read the Redis URL's options: {error}") from error
