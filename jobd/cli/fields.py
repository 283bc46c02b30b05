"""One thing as lines of `name  value`: a queue, a job."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def fields(document: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield a line for each field that says something; texts of several lines and lists are indented."""
    width = max((len(name) for name in document), default=0)
    for name, value in document.items():
        if value in (None, [], {}):
            continue
        if isinstance(value, list):
            yield f"{indent}{name}:"
            for item in value:
                yield from _item(item, indent + "  ")
        elif isinstance(value, str) and "\n" in value:
            yield f"{indent}{name}:"
            yield from _item(value, indent + "  ")
        else:
            yield f"{indent}{name:<{width}}  {_moment(value) if _is_moment(name, value) else _text(value)}"


def _item(item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, dict):
        yield indent + "  ".join(f"{name}={_text(value)}" for name, value in item.items() if value not in (None, []))
    else:
        for line in str(item).splitlines():
            yield indent + printable(line)


def _is_moment(name: str, value: Any) -> bool:
    return (name == "timestamp" or name.endswith("_at")) and isinstance(value, int) and value > 10**11


def _moment(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(ms / 1000))


def _text(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
