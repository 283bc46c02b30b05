"""typing.TypedDict for pydantic, which reads it only from Python 3.12 on and before that typing_extensions' own."""

from __future__ import annotations

import sys
import typing
from typing import Any


def readable(annotation: Any) -> Any:
    """Return the annotation with every typing.TypedDict in it, nested ones too, made one that pydantic reads."""
    if sys.version_info >= (3, 12):
        return annotation
    return _readable(annotation, {})


def _readable(annotation: Any, made: dict[Any, Any]) -> Any:
    if typing.is_typeddict(annotation) and type(annotation).__module__ == "typing":
        if annotation not in made:
            made[annotation] = _remake(annotation, made)
        return made[annotation]
    parts = typing.get_args(annotation)
    if parts and hasattr(annotation, "copy_with"):
        return annotation.copy_with(tuple(_readable(part, made) for part in parts))
    origin = typing.get_origin(annotation)
    if parts and origin in (list, dict, tuple, set, frozenset):
        return origin[tuple(_readable(part, made) for part in parts)]
    return annotation


def _remake(kind: Any, made: dict[Any, Any]) -> Any:
    from typing import NotRequired, Required

    from typing_extensions import TypedDict

    fields: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if typing.get_origin(hint) in (typing.Required, typing.NotRequired):
            hint = typing.get_args(hint)[0]  # noqa: PLW2901 - which of the two it is stands in __required_keys__
        inner = _readable(hint, made)
        fields[name] = Required[inner] if name in kind.__required_keys__ else NotRequired[inner]
    return TypedDict(kind.__name__, fields)  # type: ignore[operator]
