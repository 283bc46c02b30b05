"""The JSON Schema of the data that a handler takes, from the types in its signature."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any

from jobd.worker.handlers.binding import Members, TypedData, pydantic_readable

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array",
          type(None): "null"}  # fmt: skip


def schema_of(data: TypedData | Members | None) -> dict[str, Any] | None:
    """Return the schema of a handler's data, with its `$defs`; None when the handler says nothing about it."""
    if data is None:
        return None
    if not isinstance(data, Members):
        return _of_type(data.annotation)
    found: dict[str, Any] = {"type": "object", "properties": {}, "required": list(data.required)}
    definitions: dict[str, Any] = {}
    for name, annotation in data.annotations.items():
        schema = {} if annotation is inspect.Parameter.empty else _of_type(annotation)
        definitions |= schema.pop("$defs", {})
        found["properties"][name] = schema
    found["additionalProperties"] = data.rest
    return found | ({"$defs": definitions} if definitions else {})


def _of_type(annotation: Any) -> dict[str, Any]:
    if annotation is Any:
        return {}
    plain = _of_plain(annotation)
    if plain is not None:
        return plain
    # It is there: the binding checks with it.
    from pydantic import TypeAdapter

    schema: dict[str, Any] = TypeAdapter(pydantic_readable(annotation)).json_schema(mode="validation")
    return schema


def _of_plain(annotation: Any) -> dict[str, Any] | None:
    """Return the schema of what is checked without pydantic: the JSON types, and choices between them."""
    if annotation is None:
        return {"type": "null"}
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return {"type": _PLAIN[annotation]} if annotation in _PLAIN else None
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        arms = [_of_plain(arm) for arm in typing.get_args(annotation)]
        if all(arm is not None for arm in arms):
            return {"anyOf": arms}
    return None
