"""JSON as it crosses Redis: strict both ways, since one bad event stops a Node consumer for good.

What must be JSON: docs/wire-format.md, "Golden rules".
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from jobd.engine.compact_json import compact
from jobd.errors import Unrecoverable

VALUE_MAX = 128 * 1024 * 1024
"""Bytes of one result: Redis closes the connection on a text of 512 MB, and that for ever as it would be resent."""

TEXT_MAX = 64_000
"""Bytes of a failedReason (which an event of the stream repeats), of one traceback, of one line of a job's log."""


class NotJson(TypeError):
    """A value that a handler gave is not JSON."""


def _refuse(value: Any) -> NoReturn:
    raise NotJson(f"it holds a value of type {_type_name(value)}")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_encode = compact(_refuse)
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_scan = _decoder.scan_once  # type: ignore[attr-defined]


def to_json(value: Any, what: str) -> bytes:
    """Return the JSON of a value; `what` names it in the error ("result", "progress").

    Raises:
        NotJson: the message says why and names the type.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"{what} is not JSON: {_why_not(error)}") from None
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8, but an escape.
        encoded = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    if len(encoded) > VALUE_MAX:
        raise NotJson(f"{what} is too large: {len(encoded)} bytes of JSON, at most {VALUE_MAX}")
    return encoded


def bounded(text: str) -> str:
    """Return text that has a UTF-8 form: half surrogate pairs become escapes, of a long one head and tail stay."""
    # Characters first: a text of 50 MB is not worth encoding to throw it away.
    kept = text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + text[-TEXT_MAX:]
    raw = kept.encode("utf-8", "backslashreplace")
    if len(raw) <= TEXT_MAX:
        return raw.decode()
    half = TEXT_MAX // 2 - 40
    mark = f"\n… cut by jobd: {len(text)} characters …\n"
    return raw[:half].decode("utf-8", "ignore") + mark + raw[-half:].decode("utf-8", "ignore")


def data_of(raw: bytes | None) -> Any:
    """Return a job's data; an absent or empty field reads as {} (docs/wire-format.md, "The job hash").

    Raises:
        Unrecoverable: the text is not JSON; no attempt can ever read it.
    """
    if not raw or raw == b"{}":
        return {}
    try:
        return _decode(raw.decode())
    except RecursionError:
        raise Unrecoverable("data is not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise Unrecoverable(f"data is not JSON: {error}") from None


def options_of(raw: bytes | None) -> dict[str, Any]:
    """Return a job's options as stored; what is not a JSON object reads as {}, as no option is worth losing the job."""
    try:
        found = _decode((raw or b"{}").decode())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _decode(text: str) -> Any:
    # The scanner alone reads what begins and ends with its value, which is what producers write, at half the cost.
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)


def _why_not(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or contains itself"
    text = str(error)
    if text.startswith("Out of range float"):
        return "it holds NaN or an infinite number (float)"
    if text.startswith("Circular"):  # where Python has no encoder in C
        return "it contains itself"
    return text


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
