"""How a plan spells the keys and values of a file."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel

from jobd.duration import format_size, spell_duration
from jobd.engine.job import KEEP_ALL, KEEP_NONE, Keep
from jobd.locate import Secret


def key_of(model: BaseModel, name: str) -> str:
    """Return the key of the file behind a field."""
    return type(model).model_fields[name].alias or name


def told(name: str, value: Any) -> str:
    """Return the value of a field in words that fit a line."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int() if name.endswith("_ms"):
            return spell_duration(value)
        case int() if name.endswith("_at"):
            return datetime.fromtimestamp(value / 1000, UTC).isoformat().replace("+00:00", "Z")
        case int() if name.endswith("_bytes"):
            return format_size(value)
        case Enum():
            return str(value.value)
        case Secret():
            return "***"
        case Keep():
            return _told_keep(value)
        case BaseModel():
            fields = {key_of(value, field): told(field, getattr(value, field)) for field in type(value).model_fields}
            return "{ " + ", ".join(f"{key} = {told}" for key, told in fields.items() if told != "none") + " }"
        case list() | tuple():
            return "[" + ", ".join(str(item) for item in value) + "]"
        case _:
            return str(value)


def _told_keep(keep: Keep) -> str:
    if keep == KEEP_ALL:
        return "true"
    if keep == KEEP_NONE:
        return "false"
    parts = [f"count = {keep.count}"] if keep.count is not None else []
    parts += [f"age = {spell_duration(keep.age_s * 1000)}"] if keep.age_s is not None else []
    return str(keep.count) if keep.age_s is None else "{ " + ", ".join(parts) + " }"
