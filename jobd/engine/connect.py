"""Open connections to Redis the way jobd needs them: nothing is ever sent twice, every wait has an end.

redis-py 8 resends a command up to ten times when its connection breaks (an add would come in eleven times) and cuts a
blocking read after five seconds. Here every client has no retries, an answer limit of its own, RESP2 and bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from jobd.errors import InputError
from jobd.locate import check_tls_files, parse_redis_url

if TYPE_CHECKING:
    from jobd.locate import RedisSource, Renewal

ANSWER_LIMIT_S = 5.0
"""How long a command may stay unanswered before its outcome is called unknown."""

CONNECT_LIMIT_S = 5.0
"""How long opening a connection may take."""

POOL_SIZE = 50
"""Connections of one client. More callers than that at once wait for a free one instead of being refused."""

CLIENT_NAME = "jobd"
"""CLIENT LIST shows it. No queue's worker name: BullMQ's getWorkers must not count a producer."""

_POOL_ONLY = frozenset({"max_connections", "timeout"})

if TYPE_CHECKING:
    RawConnection = redis.asyncio.connection.AbstractConnection


def connection_kwargs(source: RedisSource) -> dict[str, Any]:
    """Return what redis-py's connection classes take for this source, its secrets included; never print it.

    Raises:
        UrlError (an InputError): the URL cannot be used, or a certificate it names cannot be read.
    """
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


class _Renewed(CredentialProvider):
    """Asks for the credentials at each connection, so that a rotated secret is in use from the next one on."""

    def __init__(self, renewal: Renewal) -> None:
        self._renewal = renewal

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH is sent with: the password, or user and password."""
        kwargs = connection_kwargs(replace(self._renewal.now(), renewal=None))
        username, password = kwargs.get("username"), kwargs.get("password") or ""
        return (username, password) if username else (password,)


def sync_client(source: RedisSource, *, answer_limit_s: float | None = ANSWER_LIMIT_S) -> redis.Redis:
    """Return a client with a pool of its own; no connection is open yet. None waits for an answer for ever.

    Raises:
        InputError: as connection_kwargs.
    """
    kwargs = _pool_kwargs(source, answer_limit_s)
    classes = {
        "unix": redis.connection.UnixDomainSocketConnection,
        "rediss": redis.connection.SSLConnection,
        "redis": redis.connection.Connection,
    }
    kwargs["retry"] = Retry(NoBackoff(), 0)
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
        connection_class=classes[parse_redis_url(source.url).scheme], **kwargs
    )
    _try_options(pool)
    client = redis.Redis(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def async_client(source: RedisSource, *, answer_limit_s: float | None = ANSWER_LIMIT_S) -> redis.asyncio.Redis:
    """As sync_client, for asyncio; use it on one event loop only."""
    kwargs = _pool_kwargs(source, answer_limit_s)
    kwargs["retry"] = AsyncRetry(NoBackoff(), 0)
    pool = redis.asyncio.BlockingConnectionPool(connection_class=_async_class(source), **kwargs)
    _try_options(pool)
    client = redis.asyncio.Redis(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


async def renew(client: redis.asyncio.Redis, source: RedisSource) -> None:
    """Have a client's next connections opened with the credentials of `source`; idle ones are closed now."""
    pool = client.connection_pool
    for name in ("username", "password", "credential_provider"):
        pool.connection_kwargs.pop(name, None)
    pool.connection_kwargs.update(_pool_credentials(source))
    # Those in use end their command first.
    await pool.disconnect(inuse_connections=False)


def raw_connection(
    source: RedisSource, *, client_name: str | None = None, answer_limit_s: float | None = None
) -> RawConnection:
    """Return one asyncio connection without pool or retry, not yet connected; the caller connects and disconnects it.

    `answer_limit_s` None suits a connection that blocks in Redis: the caller bounds its waits.

    Raises:
        InputError: as connection_kwargs.
    """
    kwargs = connection_kwargs(source if source.renewal is None else source.renewal.now())
    for name in _POOL_ONLY:
        kwargs.pop(name, None)
    kwargs |= {"socket_timeout": answer_limit_s, "retry": AsyncRetry(NoBackoff(), 0)}
    if client_name is not None:
        kwargs["client_name"] = client_name
    try:
        return _async_class(source)(**kwargs)
    except TypeError as error:
        raise InputError(f"cannot read the redis url's options: {error}") from error


def _pool_kwargs(source: RedisSource, answer_limit_s: float | None) -> dict[str, Any]:
    defaults = {"client_name": CLIENT_NAME, "max_connections": POOL_SIZE, "timeout": answer_limit_s}
    return defaults | _pool_credentials(source) | {"socket_timeout": answer_limit_s}


def _pool_credentials(source: RedisSource) -> dict[str, Any]:
    kwargs = connection_kwargs(source)
    if source.renewal is None or not (kwargs.get("username") or kwargs.get("password")):
        return kwargs
    # redis-py takes either these or a provider.
    fixed = {name: value for name, value in kwargs.items() if name not in ("username", "password")}
    return fixed | {"credential_provider": _Renewed(source.renewal)}


def _async_class(source: RedisSource) -> type[RawConnection]:
    classes: dict[str, type[RawConnection]] = {
        "unix": redis.asyncio.connection.UnixDomainSocketConnection,
        "rediss": redis.asyncio.connection.SSLConnection,
        "redis": redis.asyncio.connection.Connection,
    }
    return classes[parse_redis_url(source.url).scheme]


def _try_options(pool: redis.ConnectionPool | redis.asyncio.ConnectionPool) -> None:
    """Make one connection object, unconnected: an unknown option in the URL is told now and not at first use."""
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        raise InputError(f"cannot read the redis url's options: {error}") from error
