"""How a command gets its document: from the daemon that answers, else, where it can be done without, from Redis."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from jobd.errors import DaemonAway, JobdError
from jobd.operations import table
from jobd.operations.operation import Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from jobd.cli.settings import Settings
    from jobd.operations.operation import Operation, P, R
    from jobd.protocol.control_client import ControlClient


def ask(
    settings: Settings,
    operation: Operation[P, R],
    params: Mapping[str, Any] | None = None,
    *,
    on_progress: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> R:
    """Return the document of one operation, from the daemon or with --redis or without a daemon from Redis itself.

    Raises:
        DaemonAway: no daemon answers, and there is no other way.
        TimeoutError: the daemon did not answer in time.
    """
    given = dict(params or {})
    if operation.needs is Needs.DAEMON:
        with connect(settings) as daemon:
            return call(daemon, operation, given, on_progress=on_progress, timeout=timeout)
    if not settings.redis:
        try:
            daemon = connect(settings)
        except DaemonAway:
            pass
        else:
            with daemon:
                return _ask_either(settings, daemon, operation, given, on_progress)
    from jobd.cli.direct import perform

    return perform(settings, operation, given, on_progress=on_progress)


def connect(settings: Settings) -> ControlClient:
    """Return a connection to the daemon. Raises DaemonAway, and Refused (77) where this user may not."""
    from jobd.protocol.control_client import ControlClient

    candidates = settings.sockets()
    try:
        return ControlClient.connect(candidates)
    except DaemonAway as away:
        raise _elsewhere(settings, candidates, away) or away from None


def _elsewhere(settings: Settings, tried: Sequence[Path], away: DaemonAway) -> DaemonAway | None:
    """Return what to say when the daemon of this file listens where the file said when it was started."""
    from jobd.locate.sockets import noted_socket
    from jobd.protocol.control_client import ControlClient

    config = settings.config_path()
    if settings.socket or "JOBD_SOCKET" in os.environ or config is None:
        return None
    path = noted_socket(config)
    if path is None or path in tried:
        return None
    try:
        ControlClient.connect([path]).close()
    except JobdError:
        return None
    listed = "; ".join(f"{each}: {why}" for each, why in away.tried)
    text = f"no daemon answers ({listed}), but the daemon of this state folder listens at {path}: "
    text += f"reach it with --socket {shlex.quote(str(path))}; a changed [daemon] socket takes a restart"
    return DaemonAway(text, away.tried)


def call(
    daemon: ControlClient,
    operation: Operation[P, R],
    params: Mapping[str, Any] | None = None,
    *,
    on_progress: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> R:
    """Return the document of one operation from a daemon that is connected to. Raises as ControlClient.call."""
    # A daemon of this version makes it of that type: both sides are made from the table.
    return cast("R", daemon.call(operation.name, dict(params or {}), on_progress=on_progress, timeout=timeout))


@contextmanager
def session(settings: Settings, operation: Operation[P, R]) -> Iterator[Callable[[Mapping[str, Any]], R]]:
    """Give what asks for one operation again and again over one connection, as `ask` would choose it.

    Raises:
        DaemonAway: no daemon answers, and there is no other way; or it has gone away meanwhile.
    """
    daemon = None
    if operation.needs is Needs.DAEMON or not settings.redis:
        try:
            daemon = connect(settings)
        except DaemonAway:
            if operation.needs is Needs.DAEMON:
                raise
    if daemon is not None:
        with daemon:
            yield lambda params: call(daemon, operation, params)
        return
    from jobd.cli.direct import Direct

    with Direct(settings) as redis:
        yield lambda params: redis.perform(operation, params)


def subscribed(
    settings: Settings, operation: Operation[P, R], params: Mapping[str, Any]
) -> Iterator[tuple[Any, int]] | None:
    """Yield each entry of `logs` or `events` as it comes, as ControlClient.subscribe; None where no daemon is asked.

    Raises:
        DaemonAway: no daemon answers, and only one could; or, while it lasts, it has gone away.
    """
    if settings.redis and operation.needs is not Needs.DAEMON:
        return None
    try:
        daemon = connect(settings)
    except DaemonAway:
        if operation.needs is Needs.DAEMON:
            raise
        return None

    def entries() -> Iterator[tuple[Any, int]]:
        with daemon:
            yield from daemon.subscribe(operation.name, dict(params))

    return entries()


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


def _ask_either(
    settings: Settings,
    daemon: ControlClient,
    operation: Operation[P, R],
    params: Mapping[str, Any],
    on_progress: Callable[[str], None] | None,
) -> R:
    """Return the daemon's answer; what is too large for its socket goes to the same Redis by itself."""
    from jobd.protocol.control import LineTooLong

    try:
        return call(daemon, operation, params, on_progress=on_progress)
    except LineTooLong as error:
        if not _shares_redis(settings, daemon):
            raise LineTooLong(f"{error}; name the daemon's Redis with --redis to add it there") from None
    from jobd.cli.direct import perform

    return perform(settings, operation, params, on_progress=on_progress)


def _shares_redis(settings: Settings, daemon: ControlClient) -> bool:
    from tomllib import loads

    from jobd.locate import redis_source

    try:
        here = redis_source(config=settings.config)
    except JobdError:
        return False
    used = call(daemon, table.STATUS)["redis"]["url"]
    entries = call(daemon, table.CONFIG_SHOW, {"origin": True})["entries"]
    prefix = next((entry["value"] for entry in entries if entry["key"] == "redis.prefix"), '""')
    return (here.shown, here.prefix) == (used, loads(f"prefix = {prefix}")["prefix"])
