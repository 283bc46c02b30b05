"""Make a dataclass of a JSON object: its members by their annotations, strictly."""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import Any, Literal

from jobd.errors import ProtocolError


@cache
def hints(kind: Any) -> dict[str, Any]:
    """Return the annotations of a dataclass, resolved; worked out once."""
    return typing.get_type_hints(kind)


def build(kind: Any, fields: Any, where: str) -> Any:
    """Return a `kind` of these members; `where` begins what an error says.

    Raises:
        ProtocolError: a missing or unknown member, a value of the wrong shape.
    """
    if not isinstance(fields, dict):
        raise ProtocolError(f"{where}: expected an object")
    known = hints(kind)
    unknown = fields.keys() - known.keys()
    if unknown:
        raise ProtocolError(f"{where}: unknown fields {sorted(unknown)}")
    try:
        return kind(**{name: _convert(known[name], value, f"{where}.{name}") for name, value in fields.items()})
    except TypeError as error:
        raise ProtocolError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        return _convert(next(arm for arm in typing.get_args(hint) if arm is not type(None)), value, where)
    if origin is Literal:
        if value in typing.get_args(hint):
            return value
    elif origin is list:
        if isinstance(value, list):
            return [_convert(typing.get_args(hint)[0], item, where) for item in value]
    elif origin is dict:
        if isinstance(value, dict):
            return {key: _convert(typing.get_args(hint)[1], item, where) for key, item in value.items()}
    elif dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    elif hint is float and isinstance(value, int | float):
        return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ProtocolError(f"{where}: got {value!r}")
