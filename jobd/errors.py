"""Every exception of jobd.

JobdError
├── InputError (ValueError)       an argument is wrong; nothing was written
│   └── DurationError             a text that is not a duration
├── ConfigError                   the file or the environment is wrong (exit 78); carries every problem
├── NoRedisConfigured             no source names a Redis (exit 78)
├── RedisUnavailable              Redis did not answer; what was asked for may or may not have happened
├── RedisRefused                  Redis answered with an error (memory full, wrong password, read-only replica, …)
├── NotThere                      no such queue, job or worker
├── JobFailed                     the job a producer waited for failed for good
├── HandlerError                  a handler cannot be loaded
├── DaemonAway                    nothing answers at the control socket (exit 69)
├── Refused                       the daemon or a check said no; carries the wire code and the exit code
├── ProtocolError                 bytes from another process that are not a message
│
├── Unrecoverable                 raised by handlers: failed for good, attempts left or not
├── RetryLater                    raised by handlers: delayed, the attempt is not counted
├── WaitForChildren               raised by handlers: run again when the children are done
└── RateLimited                   raised by handlers: back to its place, and the queue rests for that long

JobTimeout and Cancelled derive from BaseException so that a handler's `except Exception` does not swallow them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class JobdError(Exception):
    """The base of everything that jobd raises on purpose.

    `code` is the stable name used in JSON output and on the control socket; it never changes once published.
    """

    code = "error"


class InputError(JobdError, ValueError):
    """An argument is wrong; nothing was written anywhere."""

    code = "input-invalid"


class DurationError(InputError):
    """A text that is not a duration such as "30s"."""

    code = "duration-invalid"


class ConfigError(JobdError):
    """The configuration cannot be used. `problems` holds one printable text per problem, in file order."""

    code = "config-invalid"

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems: tuple[str, ...] = tuple(problems)


class NoRedisConfigured(ConfigError):
    """Neither an argument, the environment nor a file names a Redis."""

    code = "redis-not-configured"


class RedisUnavailable(JobdError):
    """Redis did not answer in time, the connection broke or could not be opened, or Redis is not ready.

    `may_have_run` False: the command did not run, there was no connection to send it on or Redis said so. `trouble` is
    a word of engine.trouble.Trouble.
    """

    code = "redis-unavailable"

    def __init__(self, message: str, *, trouble: str = "away", may_have_run: bool = True) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.may_have_run = may_have_run


class RedisRefused(JobdError):
    """Redis answered with an error; the command did not run to its end.

    `trouble` says what is wrong, in a word of engine.trouble.Trouble: "memory full", "read only", …
    """

    code = "redis-refused"

    def __init__(self, message: str, *, trouble: str = "refused") -> None:
        super().__init__(message)
        self.trouble = trouble


class NotThere(JobdError):
    """The named queue, job or worker does not exist. `kind` is its sort, `name` what was asked for."""

    def __init__(self, kind: str, name: str, message: str | None = None, *, known: Sequence[str] = ()) -> None:
        super().__init__(message or f'no such {kind}: "{name}"')
        self.kind = kind
        self.name = name
        self.known: tuple[str, ...] = tuple(known)
        self.code: str = f"{kind}-unknown"


class JobFailed(JobdError):
    """The job failed for good. `reason` is its failedReason."""

    code = "job-failed"

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} failed: {reason}")
        self.job_id = job_id
        self.reason = reason


class HandlerError(JobdError):
    """A handler cannot be loaded. `kind` says which step refused it.

    Kinds: `import` (the module), `attribute` (the name in it), `signature` (it cannot be called as a handler), `mode`
    (it can, but not in the mode the file asks for).
    """

    code = "handler-invalid"

    def __init__(self, path: str, kind: str, message: str, *, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.kind = kind
        self.detail: dict[str, Any] = dict(detail or {})


class DaemonAway(JobdError):
    """Nothing answers at the control socket. `tried` lists (path, why not)."""

    code = "daemon-away"

    def __init__(self, message: str, tried: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.tried: tuple[tuple[str, str], ...] = tuple(tried)


class Refused(JobdError):
    """A request was understood and refused. `code`, `exit_code` and `detail` travel over the control socket."""

    def __init__(self, code: str, message: str, *, exit_code: int = 1, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
        self.detail: dict[str, Any] = dict(detail or {})


class ProtocolError(JobdError):
    """Bytes from another process that are not a message of the agreed protocol."""

    code = "protocol-error"


class Unrecoverable(JobdError):
    """Raised by a handler: the job fails for good, whatever attempts are left."""

    code = "unrecoverable"


class RetryLater(JobdError):
    """Raised by a handler: run this job again after `delay` ("30s" or seconds), the attempt not counted.

    With 0 it is the next one of its queue, as after BullMQ's moveToWait.
    """

    code = "retry-later"

    def __init__(self, delay: str | float) -> None:
        super().__init__(f"run again after {delay}")
        self.delay = delay


class WaitForChildren(JobdError):
    """Raised by a handler: run this job again when its children are done, the attempt not counted.

    With none pending it runs again at once: look at `job.children_values()` first.
    """

    code = "wait-for-children"

    def __init__(self) -> None:
        super().__init__("waits for its children")


class RateLimited(RetryLater):
    """Raised by a handler: the job goes back to its place, the attempt not counted, and its queue rests for `delay`."""

    code = "rate-limited"


class JobTimeout(BaseException):
    """Raised inside a handler whose attempt ran longer than its `timeout`."""


class Cancelled(BaseException):
    """Raised inside a handler whose job was cancelled, lost its lock or is handed back."""
