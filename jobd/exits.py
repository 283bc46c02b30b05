"""The exit codes, and which one an error ends with: for a command, and for the answer of the control socket."""

from __future__ import annotations

from enum import IntEnum

from jobd.errors import (
    ConfigError,
    DaemonAway,
    HandlerError,
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


_NO_PERMISSION = "no permission"
"""Of engine.trouble.Trouble: what an ACL refuses inside a script has no class of its own in redis-py."""


def exit_of(error: BaseException) -> int:
    """Return the exit code that `error` ends a command with."""
    match error:
        case Refused():
            return error.exit_code
        case ConfigError() | HandlerError():
            return Exit.CONFIG
        case DaemonAway() | RedisUnavailable():
            return Exit.UNAVAILABLE
        case RedisRefused():
            return Exit.NOT_PERMITTED if _is_refused_login(error) or error.trouble == _NO_PERMISSION else Exit.FAILED
        case InputError():
            return Exit.USAGE
        case TimeoutError():
            return Exit.TIMED_OUT
        case PermissionError():
            return Exit.NOT_PERMITTED
        case _:
            return Exit.FAILED


def _is_refused_login(error: JobdError) -> bool:
    from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

    return isinstance(
        error.__cause__ or error.__context__, AuthenticationError | AuthorizationError | NoPermissionError
    )
