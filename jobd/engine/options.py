"""What a producer asks for, checked and turned into a NewJob: pure, nothing here talks to Redis.

The rules are BullMQ's (docs/wire-format.md, "Names and ids" and "Options"), plus those whose breach BullMQ finds out
too late: an id that is also the name of one of the queue's own keys, NaN in data, a due time that no score can hold.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from jobd.duration import parse_size, to_ms
from jobd.engine.compact_json import compact
from jobd.engine.new_job import IF_FAILED, NewJob, Parent
from jobd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PRIORITY = 2_097_151
"""BullMQ's: a priority times 2^32 must stay exact in a score."""

MAX_DUE_MS = 2**53 // 4096 - 1
"""A due time times 4096 must stay exact in a score: September 2039."""

MAX_ATTEMPTS = 2**31 - 1

_CANONICAL_INTEGER = "-?(0|[1-9][0-9]*)"

_OWN_KEYS = frozenset({
    "meta", "id", "wait", "active", "prioritized", "pc", "delayed", "waiting-children", "completed", "failed", "paused",
    "marker", "stalled", "stalled-check", "limiter", "events", "repeat", "priority", "delay", "jobd-probe", "jobd-keys",
})  # fmt: skip
"""Keys of the queue itself: a job of such an id would be written over them. The list in lua/lib/is_own_key.lua is the
same."""

_OWN_FAMILIES = frozenset({"repeat", "de", "dn", "jobd"})
_WHOLE_FAMILIES = frozenset({"metrics", "jobd-aside"})

_encode = compact()
_encode_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


OPTION_NAMES = frozenset({
    "attempts", "backoff", "delay", "priority", "job_id", "deduplicate", "lifo", "keep_completed", "keep_failed",
    "keep_logs", "timestamp", "size_limit", "parent", "if_failed", "omit_context",
})  # fmt: skip
"""The members of AddOptions, which is imported for types alone: making it takes a tenth of a client's import."""

_NO_OPTIONS: dict[str, Any] = {"attempts": 0}


def new_job(
    name: str, data: Any, options: Mapping[str, Any] | None = None, *, now_ms: int, prefix: str = "bull"
) -> NewJob:
    """Return the job as it is to be stored.

    Args:
        options: As AddOptions; names that are not in it are refused.
        prefix: of the parent's queue, where the parent tells none.
    Raises:
        InputError: anything is wrong; the text names it.
    """
    _check_text("job name", name)
    if not options:
        return NewJob(name, encode_data(data), _NO_OPTIONS, now_ms)
    for option in options:
        if option not in OPTION_NAMES:
            raise InputError(f'unknown option "{option}"{_nearest(option)}')
    job = _with_options(name, encode_data(data), options, now_ms)
    if options.get("parent") is not None:
        if "de" in job.opts:
            raise InputError("deduplicate and parent cannot be used together")
        job.has_parent(_parent(options["parent"], options.get("if_failed"), prefix))
    elif options.get("if_failed") is not None:
        raise InputError("if_failed: says what a failure means to the parent; this job has none")
    return job


def check_queue_name(name: str) -> str:
    """Return the name; raises InputError when it cannot name a BullMQ queue."""
    _check_text("queue name", name)
    if ":" in name:
        raise InputError(f'queue name "{name}" cannot contain ":"')
    return name


def check_prefix(prefix: str) -> str:
    """Return the prefix; raises InputError when it is no text or empty."""
    _check_text("prefix", prefix)
    return prefix


def check_job_id(job_id: str) -> str:
    """Return the id; raises InputError when a producer may not choose it."""
    _check_text("job_id", job_id)
    if re.fullmatch(_CANONICAL_INTEGER, job_id, re.ASCII):
        raise InputError(f'job_id "{job_id}" cannot be a whole number: those are counted by Redis; try "job-{job_id}"')
    parts = job_id.split(":")
    if parts[0] == "0":
        raise InputError(f'job_id "{job_id}" cannot start with "0:"')
    if len(parts) not in (1, 3):
        raise InputError(f'job_id "{job_id}" cannot contain ":" unless it has exactly three parts')
    if job_id in _OWN_KEYS or (len(parts) > 1 and parts[0] in _OWN_FAMILIES | _WHOLE_FAMILIES):
        raise InputError(f'job_id "{job_id}" is the name of a key of the queue itself')
    return job_id


def is_own_key(job_id: str) -> bool:
    """Return whether this is no job's id but the name of another key of the queue: reading it as a job would err."""
    parts = job_id.split(":")
    if len(parts) == 1:
        return job_id in _OWN_KEYS or not job_id
    return parts[0] in _WHOLE_FAMILIES or (len(parts) == 2 and parts[0] in _OWN_FAMILIES)


def encode_data(data: Any) -> bytes:
    """Return `data` as JSON; lone surrogates are written as escapes, as JavaScript does.

    Raises:
        InputError: a value has no JSON form; the text names its type and where it is.
    """
    try:
        return _encode(data).encode()
    except UnicodeEncodeError:
        return _encode_ascii(data).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"cannot write data as JSON: {explain_not_json(data) or error}") from error


def explain_not_json(value: Any, name: str = "data") -> str | None:
    """Return the first place in `value` that JSON cannot hold, such as `data.user[2] is a set`; None if there is none.

    Looks 50 levels deep: what is deeper, or contains itself, is told as such.
    """
    return _find_bad(value, name, 50)


def _find_bad(value: Any, place: str, depth: int) -> str | None:
    if _no_number(value):
        return f"{place} is {_no_number(value)}"
    if value is None or isinstance(value, str | int | float):
        return None
    if not isinstance(value, dict | list | tuple):
        return f"{place} is {kind_of(value)}"
    if depth == 0:
        return "data is nested too deeply, or contains itself"
    if isinstance(value, dict):
        for key, item in value.items():
            if not (key is None or isinstance(key, str | int | float)):
                return f"{place} has a key that is {kind_of(key)}"
            if _no_number(key):
                return f"{place} has a key that is {_no_number(key)}"
            found = _find_bad(item, f"{place}.{str(key)[:40]}", depth - 1)
            if found:
                return found
        return None
    return next(filter(None, (_find_bad(item, f"{place}[{i}]", depth - 1) for i, item in enumerate(value))), None)


def _no_number(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # Python itself refuses to write more than 4,300 digits.
    return "too large a number" if isinstance(value, int) and value.bit_length() > 14_000 else None


def _with_options(name: str, data: bytes, options: Mapping[str, Any], now_ms: int) -> NewJob:
    given = {key: value for key, value in options.items() if value is not None}
    job = NewJob(name, data, {}, now_ms)
    opts = job.opts
    if "job_id" in given:
        opts["jobId"] = job.job_id = check_job_id(given["job_id"])
    if "timestamp" in given:
        opts["timestamp"] = job.timestamp = _whole("timestamp", given["timestamp"], 0, MAX_DUE_MS)
    if "priority" in given:
        job.priority = check_priority(given["priority"])
        if job.priority:
            opts["priority"] = job.priority
    if "delay" in given:
        job.delay_ms = _milliseconds("delay", given["delay"])
        if job.delay_ms:
            opts["delay"] = job.delay_ms
        if job.timestamp + job.delay_ms > MAX_DUE_MS:
            raise InputError("delay: cannot be due after September 2039, the last moment a score can hold")
    if _flag("lifo", given.get("lifo", False)):
        opts["lifo"] = job.lifo = True
    _store_rest(opts, given, size=len(data), name=name)
    return job


def _store_rest(opts: dict[str, Any], given: Mapping[str, Any], *, size: int, name: str) -> None:
    """Add the options that only the taker reads."""
    opts["attempts"] = _whole("attempts", given.get("attempts", 0), 0, MAX_ATTEMPTS)
    if "backoff" in given:
        opts["backoff"] = _backoff(given["backoff"])
    if "deduplicate" in given:
        opts["de"] = _deduplication(given["deduplicate"])
    for option, stored in (("keep_completed", "removeOnComplete"), ("keep_failed", "removeOnFail")):
        if option in given:
            opts[stored] = _keep(option, given[option])
    if "keep_logs" in given:
        opts["kl"] = _whole("keep_logs", given["keep_logs"], 0, MAX_ATTEMPTS)
    if _flag("omit_context", given.get("omit_context", False)):
        opts["omc"] = True
    if "size_limit" in given:
        limit = given["size_limit"]
        opts["sizeLimit"] = parse_size(limit) if isinstance(limit, str) else _whole("size_limit", limit, 0, 2**53)
        if size > opts["sizeLimit"]:
            raise InputError(f'the data of job "{name}" has {size} bytes, more than size_limit {opts["sizeLimit"]}')


def check_if_failed(value: Any) -> str | None:
    """Return what a child's failure means to its parent; raises InputError when it is none of the words."""
    if value is not None and value not in IF_FAILED:
        raise InputError(f"if_failed: expected one of {', '.join(IF_FAILED)}, got {value!r}")
    return None if value is None else str(value)


def _parent(value: Any, if_failed: Any, prefix: str) -> Parent:
    if isinstance(value, dict):
        job_id, queue = value.get("id"), value.get("queue")
    else:
        job_id, key, queue = (getattr(value, name, None) for name in ("id", "key", "queue"))
        if isinstance(key, str) and isinstance(job_id, str):
            queue = key.removesuffix(f":{job_id}")
        elif isinstance(queue, str):
            queue = f"{prefix}:{queue}"
    if not isinstance(job_id, str) or not isinstance(queue, str) or ":" not in queue:
        raise InputError('parent: expected a job handle, a job, or {"id": …, "queue": "prefix:name"}')
    return Parent(job_id, queue, check_if_failed(if_failed))


def _backoff(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and set(value) == {"type", "delay"} and value["type"] in ("fixed", "exponential"):
        return {"type": value["type"], "delay": _milliseconds("backoff", value["delay"])}
    if isinstance(value, str | int | float) or hasattr(value, "total_seconds"):  # the latter a timedelta
        return {"type": "fixed", "delay": _milliseconds("backoff", value)}
    if hasattr(value, "to_opts"):
        stored: dict[str, Any] = value.to_opts()
        return stored
    raise InputError(f'backoff: expected a Backoff, "5s" or a number of seconds, got {kind_of(value)}')


def _deduplication(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        _check_text("deduplicate", value)
        return {"id": value}
    if not isinstance(value, dict) or "id" not in value:
        raise InputError('deduplicate: expected an id or {"id": …}')
    _check_text("deduplicate.id", value["id"])
    names = {"extend": "extend", "replace": "replace", "keep_last_if_active": "keepLastIfActive",
             "reschedule": "reschedule"}  # fmt: skip
    stored: dict[str, Any] = {"id": value["id"]}
    for key, item in value.items():
        if key == "ttl" and item is not None:
            stored["ttl"] = _milliseconds("deduplicate.ttl", item)
            if not stored["ttl"]:
                raise InputError("deduplicate.ttl: must be longer than 0; leave it out for no limit")
        elif key in names:
            if _flag(f"deduplicate.{key}", item):
                stored[names[key]] = True
        elif key not in ("id", "ttl"):
            raise InputError(f'deduplicate: unknown key "{key}"; known are id, ttl, {", ".join(names)}')
    if "replace" in stored and "reschedule" in stored:
        raise InputError("deduplicate: replace and reschedule cannot be used together")
    return stored


def _keep(option: str, value: Any) -> bool | int | dict[str, int]:
    """BullMQ asks the other way round: removeOnComplete true removes."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return _whole(option, value, 0, 2**53)
    if not isinstance(value, dict) or not value or set(value) - {"count", "age", "limit"}:
        raise InputError(f'{option}: expected true, false, a count or {{"count", "age", "limit"}}, got {value!r}')
    stored = {key: _whole(f"{option}.{key}", value[key], 0, 2**53) for key in ("count", "limit") if key in value}
    if "age" in value:
        stored["age"] = math.ceil(_milliseconds(f"{option}.age", value["age"]) / 1000)
    return stored


def _milliseconds(option: str, value: Any) -> int:
    try:
        return to_ms(value)
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def check_priority(value: Any) -> int:
    """Return a priority that BullMQ takes, 0 for none. Raises InputError."""
    return _whole("priority", value, 0, MAX_PRIORITY)


def _whole(option: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{option}: expected a whole number from {low} to {high}, got {value!r}")
    return value


def _flag(option: str, value: Any) -> bool:
    if not isinstance(value, bool | None):
        raise InputError(f"{option}: expected true or false, got {value!r}")
    return bool(value)


def kind_of(value: object) -> str:
    """Return what a value is, with its article: "a dict", "an object"."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _check_text(what: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InputError(f"{what}: expected text, got {kind_of(value)}")
    if not value:
        raise InputError(f"{what} cannot be empty")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{what}: {value!r} is not valid text: {error.reason}") from error


def _nearest(option: str) -> str:
    from jobd.words import nearest

    found = nearest(option, OPTION_NAMES)
    return f'; did you mean "{found}"?' if found else f"; known are {', '.join(sorted(OPTION_NAMES))}"
