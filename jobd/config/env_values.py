"""What `{worker}`, `{queue}`, `{app}` and `{host}` stand for in values of `env`, and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("worker", "queue", "app", "host")
_OF_WORKER = ("worker", "queue")
"""What only a worker can tell: queues may share a template."""

_PART = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z_]+)\}")
"""`${name}` is a shell's, and stays."""


def fill(text: str, names: Mapping[str, str]) -> str:
    """Return a value with its names replaced, `{{` and `}}` as single braces; names that are not given stay."""

    def put(part: re.Match[str]) -> str:
        if part[1] is None:
            return part[0][0]
        return names.get(part[1], part[0])

    return _PART.sub(put, text)


def is_of_worker(text: str) -> bool:
    """Tell whether a value differs from worker to worker, or from queue to queue."""
    return any(part[1] in _OF_WORKER for part in _PART.finditer(text))


def unknown_names(text: str) -> list[str]:
    """Return what stands in single braces and is no name, in order."""
    return [part[1] for part in _PART.finditer(text) if part[1] is not None and part[1] not in NAMES]
