"""The kinds of values a key can have: durations, sizes, handlers, secrets; each with the text of its own mistake.

A validator here sees one value and says what was expected; `jobd.config.problems` puts the place before it.
"""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetPydanticSchema, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from jobd.duration import parse_duration, parse_size, spell_duration
from jobd.engine.job import Keep
from jobd.errors import DurationError, InputError
from jobd.locate import LooseText, Secret, redact
from jobd.words import is_handler_path, nearest

MAX_COUNT = 2**31 - 1
"""Counts stay within what Lua, BullMQ's options and the worker protocol carry without rounding."""


class Table(BaseModel):
    """A table of the file: nothing is converted, unknown keys are refused, frozen once read."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)


def told(value: object) -> str:
    """Return a value as the file would write it, short enough for one line of an error."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = '"' + redact(value) + '"'
    elif isinstance(value, dict):
        return "a table"
    elif isinstance(value, list):
        return "a list"
    else:
        text = _number_text(value)
    return text if len(text) <= 60 else text[:56] + "…"


def _number_text(value: object) -> str:
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"  # str() of a huge int is refused above 4,300 digits
    return str(value)


def refuse(message: str) -> PydanticCustomError:
    """Return the error that carries `message` to the person as it stands."""
    return PydanticCustomError("jobd", "{message}", {"message": message})


def scalar(value: Any) -> Any:
    """Return what text of unknown type says as TOML: a number, true or false; anything else as it is."""
    if not isinstance(value, LooseText):
        return value
    if value in {"true", "false"}:
        return value == "true"
    for kind in (int, float):
        if re.fullmatch(r"[+-]?\d{1,30}(\.\d{1,30})?", value, re.ASCII) and (kind is float or "." not in value):
            return kind(value)
    return value


class Whole:
    """Marks a whole number from `low` to `high`."""

    def __init__(self, low: int, high: int = MAX_COUNT) -> None:
        self.low = low
        self.high = high

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def check(self, value: Any) -> int:
        """Return the number, or refuse what is none."""
        number = scalar(value)
        whole = isinstance(number, int) and not isinstance(number, bool)
        if whole and self.low <= number <= self.high:
            return int(number)
        if self.high == MAX_COUNT and not (whole and number > self.high):
            raise refuse(f"expected a whole number of at least {self.low}, got {told(value)}")
        raise refuse(f"expected a whole number from {self.low} to {self.high}, got {told(value)}")


class Moment:
    """Marks a moment, as TOML writes it or as the same text; read as milliseconds since 1970."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(_moment)

    def __get_pydantic_json_schema__(self, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


def _moment(value: Any) -> int:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise refuse(f"expected a moment with its offset such as 2026-06-01T00:00:00Z, got {told(value)}")
    return int(value.timestamp() * 1000)


class Choice:
    """Marks an enum whose values are written as text."""

    def __get_pydantic_core_schema__(self, source: type[StrEnum], _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            partial(_choice, source), metadata={"pydantic_js_functions": [partial(_choice_json, source)]}
        )


def _choice(kind: type[StrEnum], value: Any) -> StrEnum:
    known = [member.value for member in kind]
    if isinstance(value, str) and value in known:
        return kind(value)
    near = nearest(value, known) if isinstance(value, str) else None
    names = [f'"{name}"' for name in known]
    hint = f'; did you mean "{near}"?' if near else ""
    raise refuse(f"expected {', '.join(names[:-1])} or {names[-1]}, got {told(value)}{hint}")


def _choice_json(kind: type[StrEnum], _schema: Any, _handler: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [member.value for member in kind]}


def _flag(value: Any) -> bool:
    flag = scalar(value)
    if not isinstance(flag, bool):
        raise refuse(f"expected true or false, got {told(value)}")
    return flag


def _share(value: Any) -> float:
    number = scalar(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
        raise refuse(f"expected a number from 0 to 1, got {told(value)}")
    return float(number)


def _file_mode(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise refuse(f'expected a file mode such as "0600", got {told(value)}')
    return str(value)


def _duration(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise refuse(
            f'expected a duration with a unit such as "30s", got {told(value)}; did you mean "{told(value)}s"?'
        )
    if not isinstance(value, str):
        raise refuse(f'expected a duration such as "30s", got {told(value)}')
    try:
        return parse_duration(value)
    except DurationError as error:
        raise refuse(str(error)) from None


def _some_duration(value: Any) -> int:
    ms = _duration(value)
    if ms < 1:
        raise refuse(f"expected a duration above zero, got {told(value)}")
    return ms


def _size(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise refuse(f'expected a size with a unit, got {told(value)}; did you mean "{told(value)}MB"?')
    if not isinstance(value, str):
        raise refuse(f'expected a size such as "500MB", got {told(value)}')
    try:
        size = parse_size(value)
    except InputError as error:
        raise refuse(str(error)) from None
    if size < 1:
        raise refuse(f"expected a size above zero, got {told(value)}")
    return size


def _handler(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse(f'expected a handler such as "shop.mail:send", got {told(value)}')
    if not is_handler_path(value):
        meant = _handler_meant(value)
        hint = f'; did you mean "{meant}"?' if meant else ""
        raise refuse(f'expected a handler as "module:attribute", got {told(value)}{hint}')
    return str(value)


def _handler_meant(value: str) -> str | None:
    """Return what "shop.mail.send", "shop/mail.py:send" and "shop.mail:send()" should have been."""
    module, colon, name = value.removesuffix("()").partition(":")
    if not colon:
        module, _, name = module.rpartition(".")
    meant = f"{module.removeprefix('./').removesuffix('.py').replace('/', '.')}:{name}"
    return meant if is_handler_path(meant) else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse(f"expected text, got {told(value)}")
    if "\0" in value:
        raise refuse("expected text without NUL characters")
    return str(value)


def _filled(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise refuse("expected text, got an empty one")
    return text


def _key_path(value: Any) -> str:
    text = _filled(value)
    names = text.split(".")
    if not all(name.strip() for name in names):
        raise refuse(f'expected names joined by dots such as "tenant.id", got {told(value)}')
    if names[0] == "opts" and len(names) == 1:
        raise refuse('expected a path such as "opts.group.id" or "tenantId", got "opts"')
    return text


def _path(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    return Path(_filled(value))


def _http_address(value: Any) -> str:
    text = _filled(value)
    if text.startswith("unix:") and text.removeprefix("unix:").strip("/"):
        return text
    host, _, port = text.rpartition(":")
    bare = not host.startswith("[") and ":" not in host
    bracketed = host.startswith("[") and host.endswith("]") and ":" in host
    if host and (bare or bracketed) and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and int(port) < 65536:
        return text
    raise refuse(f'expected an address such as "127.0.0.1:9464" or "unix:/run/jobd/http.sock", got {told(value)}')


def _text_or_secret(value: Any) -> str | Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, dict | list) or not isinstance(value, str):
        raise refuse(f'expected text or a secret such as {{ env = "NAME" }}, got {told(value)}')
    return _text(value)


def _keep_schema(_source: Any, handler: Any) -> core_schema.CoreSchema:
    return core_schema.no_info_after_validator_function(
        _keep,
        handler.generate_schema(KeepTable),
        serialization=core_schema.plain_serializer_function_ser_schema(keep_value),
    )


def keep_value(keep: Keep) -> bool | int | dict[str, Any]:
    """Return a rule as the file writes it: true, false, a count, or a table."""
    if keep.age_s is not None:
        counted = {} if keep.count is None else {"count": keep.count}
        return {**counted, "age": spell_duration(keep.age_s * 1000)}
    if keep.count is None:
        return True
    return keep.count if keep.count else False


Duration = Annotated[int, PlainValidator(_duration), WithJsonSchema({"type": "string", "examples": ["30s", "1m30s"]})]
"""A duration that may be zero, in milliseconds."""
SomeDuration = Annotated[int, PlainValidator(_some_duration), WithJsonSchema({"type": "string", "examples": ["30s"]})]
"""A duration above zero, in milliseconds."""
Size = Annotated[int, PlainValidator(_size), WithJsonSchema({"type": "string", "examples": ["500MB", "512MiB"]})]
"""A size above zero, in bytes."""
Count = Annotated[int, Whole(1)]
"""A whole number of at least 1."""
Number = Annotated[int, Whole(0)]
"""A whole number, zero allowed."""
Handler = Annotated[str, PlainValidator(_handler), WithJsonSchema({"type": "string", "examples": ["shop.mail:send"]})]
"""`module:attribute`; whether it imports is found out in another process."""
Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"type": "boolean"})]
Share = Annotated[float, PlainValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
FileMode = Annotated[str, PlainValidator(_file_mode), WithJsonSchema({"type": "string", "pattern": "^0?[0-7]{3}$"})]
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Filled = Annotated[str, PlainValidator(_filled), WithJsonSchema({"type": "string", "minLength": 1})]
_KEY_JSON: dict[str, Any] = {"type": "string", "examples": ["tenantId", "opts.group.id"]}
KeyPath = Annotated[str, PlainValidator(_key_path), WithJsonSchema(_KEY_JSON)]
"""Where a member lies: names joined by dots, into a job's data, or into its options when it begins with "opts."."""
HttpAddress = Annotated[
    str,
    PlainValidator(_http_address),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:9464", "unix:/run/jobd/http.sock"]}),
]
"""Where to serve HTTP: "HOST:PORT", "[HOST]:PORT" or "unix:PATH"."""
FilePath = Annotated[Path, PlainValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})]
_SECRET_JSON: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {kind: {"type": "string"} for kind in ("env", "file", "credential")},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        },
    ]
}
TextOrSecret = Annotated[str | Secret, PlainValidator(_text_or_secret), WithJsonSchema(_SECRET_JSON)]
"""Text, or a secret that is read only when it is needed."""


class KeepTable(Table):
    """`{ count = 1000, age = "1d" }`: how many finished jobs stay."""

    count: Number | None = None
    age: SomeDuration | None = None


def _keep(table: KeepTable) -> Keep:
    # BullMQ counts ages in seconds; rounding up keeps at least as long as was asked for.
    return Keep(count=table.count, age_s=None if table.age is None else -(-table.age // 1000))


KeepRule = Annotated[Keep, GetPydanticSchema(_keep_schema)]
