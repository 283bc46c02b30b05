"""The exit codes, and which one an error ends with."""

from __future__ import annotations

from enum import IntEnum

from jobd.errors import (
    ConfigError,
    DaemonAway,
    InputError,
    JobdError,
    RedisRefused,
    RedisUnavailable,
    Refused,
)


class Exit(IntEnum):
    """How a command ended; the numbers above 60 are those of sysexits.h."""

    OK = 0
    FAILED = 1
    """It did not succeed."""
    USAGE = 2
    NOT_RUNNING = 3
    """Only `status` and `health`: no daemon."""
    NOT_READY = 4
    """Only `status` and `health`: a daemon that is starting, degraded or draining."""
    CHANGES = 10
    """Only `plan --exit-code`."""
    UNAVAILABLE = 69
    """No daemon at the socket, or no Redis."""
    TIMED_OUT = 75
    NOT_PERMITTED = 77
    CONFIG = 78
    """The file is wrong or a handler does not import."""


INTERRUPTED = 130
"""Ctrl-C, as shells report it: 128 and the signal's number."""


def exit_of(error: BaseException) -> int:
    """Return the exit code that `error` ends a command with."""
    if isinstance(error, Refused):
        return error.exit_code
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, DaemonAway | RedisUnavailable):
        return Exit.UNAVAILABLE
    if isinstance(error, RedisRefused):
        return Exit.NOT_PERMITTED if _is_refused_login(error) else Exit.FAILED
    if isinstance(error, InputError):
        return Exit.USAGE
    if isinstance(error, TimeoutError):
        return Exit.TIMED_OUT
    return Exit.NOT_PERMITTED if isinstance(error, PermissionError) else Exit.FAILED


def _is_refused_login(error: JobdError) -> bool:
    from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

    return isinstance(error.__cause__, AuthenticationError | AuthorizationError | NoPermissionError)
