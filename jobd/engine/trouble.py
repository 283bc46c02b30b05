"""What a server's refusal means: one enum of troubles, told apart in one place.

redis-py cuts the code word (`OOM`, `READONLY`) off the errors it has classes for and leaves it at the others. A refusal
inside a script comes with the code word in front or, before Redis 7, in the middle of the text.
"""

from __future__ import annotations

import re
from enum import StrEnum

import redis.exceptions as failures

from jobd.errors import RedisRefused, RedisUnavailable


class Trouble(StrEnum):
    """What is wrong with Redis, in the few words that `status` and the log show."""

    AWAY = "away"
    """Nobody answers: no connection, a broken one, or no reply in time."""
    MEMORY_FULL = "memory full"
    READ_ONLY = "read only"
    """A replica, most likely a demoted primary."""
    CANNOT_SAVE = "cannot write its file"
    """Redis refuses writes because its last snapshot or append-only write failed."""
    TOO_FEW_REPLICAS = "too few replicas"
    LOADING = "loading"
    BUSY = "busy with a script"
    CLUSTER_DOWN = "cluster down"
    MOVED = "the slot has moved"
    CREDENTIALS = "wrong credentials"
    NO_PERMISSION = "no permission"
    TOO_MANY_CLIENTS = "too many clients"
    NO_SUCH_DATABASE = "no such database"
    WRONG_TYPE = "wrong type of a key"
    OTHER = "refused"


_BY_CODE = {
    "OOM": Trouble.MEMORY_FULL,
    "READONLY": Trouble.READ_ONLY,
    "MOVED": Trouble.MOVED,
    "UNBLOCKED": Trouble.READ_ONLY,  # what a blocked client is told when its server becomes a replica
    "MISCONF": Trouble.CANNOT_SAVE,
    "NOREPLICAS": Trouble.TOO_FEW_REPLICAS,
    "LOADING": Trouble.LOADING,
    "MASTERDOWN": Trouble.LOADING,
    "BUSY": Trouble.BUSY,
    "TRYAGAIN": Trouble.CLUSTER_DOWN,
    "CLUSTERDOWN": Trouble.CLUSTER_DOWN,
    "NOAUTH": Trouble.CREDENTIALS,
    "WRONGPASS": Trouble.CREDENTIALS,
    "NOPERM": Trouble.NO_PERMISSION,
    "WRONGTYPE": Trouble.WRONG_TYPE,
}

# In the order they are tried: a class before its base. `getattr`: redis-py 6 has no class for some.
_CODE_BY_CLASS: tuple[tuple[type[Exception], str], ...] = tuple(
    (getattr(failures, name), code)
    for name, code in (
        ("OutOfMemoryError", "OOM"),
        ("ReadOnlyError", "READONLY"),
        ("BusyLoadingError", "LOADING"),
        ("MasterDownError", "MASTERDOWN"),
        ("ClusterDownError", "CLUSTERDOWN"),
        ("TryAgainError", "TRYAGAIN"),
        ("MovedError", "MOVED"),
        ("AskError", "TRYAGAIN"),
        ("NoPermissionError", "NOPERM"),
    )
    if hasattr(failures, name)
)

_BY_TEXT = (
    ("max number of clients reached", Trouble.TOO_MANY_CLIENTS),
    ("DB index is out of range", Trouble.NO_SUCH_DATABASE),
    ("invalid DB index", Trouble.NO_SUCH_DATABASE),
    ("The user executing the script can't", Trouble.NO_PERMISSION),
    ("ACL failure in script", Trouble.NO_PERMISSION),
)

_OTHER_SLOT = ("hash to the same slot", "non local key")

_CODE_INSIDE = re.compile(r"(?:^|\s-)([A-Z]+)\s")

_PASSING = frozenset({
    Trouble.AWAY, Trouble.LOADING, Trouble.BUSY, Trouble.CLUSTER_DOWN, Trouble.MOVED, Trouble.TOO_MANY_CLIENTS,
})  # fmt: skip
"""Troubles that end by themselves: to whoever asks, Redis is away."""


def trouble_of(error: BaseException) -> Trouble:
    """Return what is wrong; takes redis-py's exceptions, and ours with what caused them."""
    if isinstance(error, RedisRefused | RedisUnavailable):
        return Trouble(error.trouble)
    # Opening an asyncio connection, redis-py wraps what the server said to AUTH in a ConnectionError.
    within = error.__cause__ or error.__context__
    if type(error) is failures.ConnectionError and isinstance(within, failures.RedisError):
        return trouble_of(within)
    text = str(error)
    for part, trouble in _BY_TEXT:
        if part in text:
            return trouble
    code = _code_of(error, text)
    if code is not None:
        return _BY_CODE[code]
    if isinstance(error, failures.AuthenticationError | failures.AuthorizationError):
        return Trouble.CREDENTIALS
    if isinstance(error, failures.ConnectionError | failures.TimeoutError | OSError):
        return Trouble.AWAY
    return Trouble.OTHER


_NO_LUA = "unknown command 'evalsha'"


def translate(error: failures.RedisError | OSError, *, sent: bool = True) -> RedisUnavailable | RedisRefused:
    """Return our exception for one of redis-py's.

    RedisUnavailable when it may work a moment later, RedisRefused when Redis will go on saying no. `sent` False: the
    command cannot have run, because no connection was there to send it on.
    """
    trouble = trouble_of(error)
    text = _with_code(error)
    if trouble in _PASSING:
        may_have_run = sent and trouble is Trouble.AWAY
        said = "Redis did not answer" if trouble is Trouble.AWAY else "Redis is not ready"
        return RedisUnavailable(f"{said}: {text}", trouble=trouble, may_have_run=may_have_run)
    if trouble is Trouble.CREDENTIALS:
        return RedisRefused(f"Redis refused the credentials: {text}", trouble=trouble)
    if any(part in text for part in _OTHER_SLOT):
        text += "; on a Cluster the queues of a flow, and a queue and its dead_letter, must share a hash tag"
    if trouble is Trouble.WRONG_TYPE:
        text = f"{text.rstrip('.')}; jobd doctor names the key"
    if _NO_LUA in text:
        # Every server that jobd supports has scripts; a fakeredis has them only with its extra.
        text += "; this server runs no Lua scripts (fakeredis: pip install 'fakeredis[lua]')"
    return RedisRefused(f"Redis refused: {text}", trouble=trouble)


def passes(error: RedisUnavailable | RedisRefused) -> bool:
    """Return whether a server says so while it starts or a failover is under way: asked again, it answers."""
    return isinstance(error, RedisUnavailable) or error.trouble == Trouble.READ_ONLY


def is_demoted(error: object) -> bool:
    """Return whether a reply says that this server is the keys' primary no more: the command did not run there."""
    return isinstance(error, failures.ResponseError) and trouble_of(error) in (Trouble.READ_ONLY, Trouble.MOVED)


def _code_of(error: BaseException, text: str) -> str | None:
    for kind, code in _CODE_BY_CLASS:
        if isinstance(error, kind):
            return code
    found = next((match[1] for match in _CODE_INSIDE.finditer(text) if match[1] in _BY_CODE), None)
    return found if isinstance(error, failures.RedisError) else None


def _with_code(error: BaseException) -> str:
    """Return the server's words with the code word that redis-py took away."""
    text = str(error)
    code = next((code for kind, code in _CODE_BY_CLASS if isinstance(error, kind)), None)
    return text if code is None or code in text else f"{code} {text}"
