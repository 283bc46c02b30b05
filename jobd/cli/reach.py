"""How a command gets its document: from the daemon that answers, else straight from Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.errors import DaemonAway, JobdError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobd.cli.settings import Settings
    from jobd.protocol.control_client import ControlClient


def connect(settings: Settings) -> ControlClient:
    """Return a connection to the daemon. Raises DaemonAway, and Refused (77) where this user may not."""
    from jobd.protocol.control_client import ControlClient

    return ControlClient.connect(settings.sockets())


def ask_daemon(
    settings: Settings,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    on_progress: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Return what the daemon answers; there is no other way to know or do it."""
    with connect(settings) as daemon:
        return daemon.call(method, dict(params or {}), on_progress=on_progress, timeout=timeout)


def ask(settings: Settings, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of the daemon, or with --redis or without a daemon what Redis itself says."""
    if not settings.redis:
        try:
            daemon = connect(settings)
        except DaemonAway:
            pass
        else:
            with daemon:
                return _ask_either(settings, daemon, method, params)
    from jobd.cli.direct import ask_redis

    return ask_redis(settings, method, params)


def redis_is_in_reach(settings: Settings) -> bool:
    """Whether this command may ask the Redis it finds by itself: no daemon answers, or the daemon uses the same."""
    if settings.redis:
        return True
    try:
        daemon = connect(settings)
    except DaemonAway:
        return True
    with daemon:
        return _shares_redis(settings, daemon)


def _ask_either(settings: Settings, daemon: ControlClient, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the daemon's answer; what is too large for its socket goes to the same Redis by itself."""
    from jobd.protocol.control import LineTooLong

    try:
        return daemon.call(method, dict(params))
    except LineTooLong as error:
        if not _shares_redis(settings, daemon):
            raise LineTooLong(f"{error}; name the daemon's Redis with --redis to add it there") from None
        from jobd.cli.direct import ask_redis

        return ask_redis(settings, method, params)


def _shares_redis(settings: Settings, daemon: ControlClient) -> bool:
    from tomllib import loads

    from jobd.locate import redis_source

    try:
        here = redis_source(config=settings.config)
    except JobdError:
        return False
    used = daemon.call("status", {"queues": []})["redis"]["url"]
    entries = daemon.call("config.show", {"origin": True})["entries"]
    prefix = next((entry["value"] for entry in entries if entry["key"] == "redis.prefix"), '""')
    return (here.shown, here.prefix) == (used, loads(f"prefix = {prefix}")["prefix"])
