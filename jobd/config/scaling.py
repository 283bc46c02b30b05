"""`workers`: a number, or bounds between which the daemon scales by how long jobs wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import core_schema

from jobd.config.values import Whole, refuse, told
from jobd.duration import parse_duration, spell_duration
from jobd.errors import DurationError, Refused
from jobd.words import nearest

MAX_WORKERS = 1000
"""Of one queue: a typing mistake, not a plan, on one machine."""

DEFAULT_TARGET_MS = 30_000

_SHAPE = '{ min = 1, max = 6, target_wait = "30s" }'
_KEYS = ("min", "max", "target_wait")


@dataclass(frozen=True, slots=True)
class Scaling:
    """At least `min` and at most `max` workers; more while jobs wait longer than `target_wait_ms`. Equal: a number."""

    min: int = 1
    max: int = 1
    target_wait_ms: int = DEFAULT_TARGET_MS

    @property
    def moves(self) -> bool:
        """Whether the daemon changes the number by itself."""
        return self.max > self.min

    def plain(self) -> int | dict[str, int | str]:
        """Return it as the file has it."""
        if not self.moves:
            return self.min
        return {"min": self.min, "max": self.max, "target_wait": spell_duration(self.target_wait_ms)}

    def __str__(self) -> str:
        if not self.moves:
            return str(self.min)
        return f'{{ min = {self.min}, max = {self.max}, target_wait = "{spell_duration(self.target_wait_ms)}" }}'


class WorkersValue:
    """Marks the key: a whole number, or the table."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(read_scaling)

    def __get_pydantic_json_schema__(self, _schema: Any, _handler: Any) -> dict[str, Any]:
        number = {"type": "integer", "minimum": 1, "maximum": MAX_WORKERS}
        properties = {"min": number, "max": number, "target_wait": {"type": "string", "examples": ["30s"]}}
        table = {"type": "object", "properties": properties, "required": ["max"], "additionalProperties": False}
        return {"anyOf": [number, table]}


def read_scaling(value: Any) -> Scaling:
    """Return what the file says; raises what is wrong with it, in words for a person."""
    if isinstance(value, Scaling):
        return value
    if not isinstance(value, dict):
        number = Whole(1, MAX_WORKERS).check(value)
        return Scaling(number, number)
    for key in value:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            hint = f"; did you mean `{near}`?" if near else ""
            raise refuse(f"`workers` has no key `{key}`, expected {_SHAPE}{hint}")
    if "max" not in value:
        raise refuse(f"`workers` as a table needs `max`, expected {_SHAPE}")
    low = Whole(1, MAX_WORKERS).check(value.get("min", 1))
    high = Whole(1, MAX_WORKERS).check(value["max"])
    if high < low:
        raise refuse(f"`max` {high} is below `min` {low}")
    return Scaling(low, high, _target(value.get("target_wait", spell_duration(DEFAULT_TARGET_MS))))


def _target(value: Any) -> int:
    if not isinstance(value, str):
        raise refuse(f'expected `target_wait` as a duration such as "30s", got {told(value)}')
    try:
        target_ms = parse_duration(value)
    except DurationError as error:
        raise refuse(f"`target_wait`: {error}") from None
    if target_ms < 1:
        raise refuse("`target_wait` must be above zero")
    return target_ms


def scaled(before: int, to: str) -> int:
    """Return the number of workers that `queue scale` is asked for: "3", or "+1" and "-1" from the present one.

    Raises:
        Refused: it is none, or one that a queue cannot have.
    """
    try:
        number = int(to)
    except ValueError:
        raise Refused("scale-invalid", f'expected a number of workers such as "3", "+1" or "-1", got "{to}"') from None
    after = before + number if to.lstrip()[:1] in ("+", "-") else number
    if not 0 <= after <= MAX_WORKERS:
        raise Refused("scale-invalid", f"expected 0 to {MAX_WORKERS} workers, got {after}")
    return after
