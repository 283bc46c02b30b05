"""Ask a Redis about itself, and a queue about what does not add up."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from jobd.engine.runner import Command, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.keys import Keys

_SCORE_PER_MS = 4096
"""Scores of `delayed` are due times in milliseconds times this."""


def server_info() -> Command[dict[str, str]]:
    """Read {field: value} of INFO."""
    return Command(("INFO",), _info)


def server_setting(name: str) -> Command[str | None]:
    """Read a setting of the server; None when it has none of this name."""
    return Command(("CONFIG", "GET", name), _setting)


def server_time() -> Command[float]:
    """Read the server's wall clock, in seconds since 1970."""
    return Command(("TIME",), lambda reply: int(reply[0]) + int(reply[1]) / 1e6)


def client_names() -> Command[list[str]]:
    """Read the names of the connections, those of BullMQ's workers among them."""
    return Command(("CLIENT", "LIST"), _names)


def worker_name(keys: Keys) -> str:
    """Return what the names of the connections of a queue's workers begin with, a named one's with `:w:` behind it.

    It is what BullMQ's getWorkers looks for: the prefix and the queue's name in base64. Redis takes printable ASCII
    without spaces; of any other prefix the rest is underscores, which no getWorkers finds.
    """
    prefix = "".join(sign if "!" <= sign <= "~" else "_" for sign in keys.prefix)
    return f"{prefix}:{base64.b64encode(keys.queue.encode()).decode()}"


def active_ids(keys: Keys, count: int) -> Command[list[str]]:
    """Read up to `count` ids of running jobs, the oldest."""
    return Command(("LRANGE", keys.active, -count, -1), _texts)


def has_lock(keys: Keys, job_id: str) -> Command[bool]:
    """Tell whether a job is locked."""
    return Command(("EXISTS", keys.lock(job_id)), bool)


def next_ids(keys: Keys, count: int) -> Command[list[str]]:
    """Read up to `count` ids of waiting jobs, those that run next."""
    return Command(("LRANGE", keys.wait, -count, -1), _texts)


def handed_back(keys: Keys, job_id: str) -> Command[int]:
    """Read how often a job was handed back by a stop."""
    words = ("HGET", keys.job(job_id), "jobdback")
    return Command(words, lambda reply: int(reply) if (reply or b"").isdigit() else 0)


def overdue_count(keys: Keys, before_ms: int) -> Command[int]:
    """Count the delayed jobs that were due before a moment."""
    return Command(("ZCOUNT", keys.delayed, "-inf", before_ms * _SCORE_PER_MS), int)


def key_bytes(key: str) -> Command[int]:
    """Read the memory that a key takes, 0 for one that is not there."""
    words: tuple[Word, ...] = ("MEMORY", "USAGE", key, "SAMPLES", 5)
    return Command(words, lambda reply: int(reply or 0))


def keys_like(pattern: str, cursor: int) -> Command[tuple[int, list[str]]]:
    """Read a part of the keys that fit a glob: (where to go on, keys); 0 is the begin and the end."""
    words: tuple[Word, ...] = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
    return Command(words, lambda reply: (int(reply[0]), _texts(reply[1])))


def key_type(key: str) -> Command[str]:
    """Read the type of a key; "none" for one that is not there."""
    return Command(("TYPE", key), lambda reply: reply.decode() if isinstance(reply, bytes) else str(reply))


def exists(key: str) -> Command[bool]:
    """Tell whether a key is there."""
    return Command(("EXISTS", key), bool)


def _info(reply: Any) -> dict[str, str]:
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in reply.items()}
    text = bytes(reply).decode("utf-8", "replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _setting(reply: Any) -> str | None:
    words = next(iter(reply.items())) if isinstance(reply, dict) and reply else reply
    return bytes(words[1]).decode("utf-8", "replace") if words else None


def _names(reply: Any) -> list[str]:
    if isinstance(reply, list):  # redis-py reads it where it knows the command
        return [str(client.get("name", "")) for client in reply]
    fields = (word for line in bytes(reply).split(b"\n") for word in line.split(b" "))
    return [field[5:].decode("utf-8", "replace") for field in fields if field.startswith(b"name=")]


def _texts(reply: Sequence[bytes]) -> list[str]:
    return [word.decode("utf-8", "replace") for word in reply]
