"""Reads the parameters of a request; a wrong one is told apart by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from jobd.operations.params.kinds import Params, kind_of
from jobd.protocol.control import BadParams
from jobd.words import nearest

P = TypeVar("P", bound=Params)


def read_params(model: type[P], given: Mapping[str, Any]) -> P:
    """Return the parameters of a request.

    Raises:
        BadParams: one is missing, unknown or of a wrong kind; names it, and the nearest one that is taken.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _refusal(model, error) from None


def _refusal(model: type[Params], error: ValidationError) -> BadParams:
    # What is unknown is told first: it may be the misspelt name of what is missing.
    problem = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    own = problem.get("ctx", {}).get("error")
    if isinstance(own, BadParams):
        return own
    name, value = str(problem["loc"][0]), problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            known = list(model.model_fields)
            near = nearest(name, known, likeness=0.5)
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            text = f"unknown parameter; {f'did you mean {near}?' if near else takes}"
        case "missing":
            text = "is missing"
        case "string_too_short":
            text = "expected text, got an empty one"
        case "string_unicode":
            text = "expected text, got half of a surrogate pair"
        case _:
            text = f"expected {kind_of(model, name)}, got {_told(value)}"
    return BadParams(name, f"{name}: {text}")


def _told(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + "…"
