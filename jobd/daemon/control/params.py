"""Read the parameters of one request: each is taken by name and kind, and what is left over is an error."""

from __future__ import annotations

import difflib
import re
from typing import Any

from jobd.duration import MAX_MS
from jobd.protocol.control import BadParams

COUNT_MAX = 2**31 - 1
_SCALE = re.compile(r"[+-]?[0-9]{1,6}")


class Params:
    """The parameters of a request. Take them all, then call `done`, then act."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = dict(given)
        self._known: list[str] = []

    def done(self) -> None:
        """Refuse what no method of this name takes.

        Raises:
            BadParams: names the parameter, and the nearest one that is taken.
        """
        for name in self._given:
            near = difflib.get_close_matches(name, self._known, 1, 0.5)
            known = f"it takes {', '.join(self._known)}" if self._known else "it takes none"
            raise BadParams(name, f"{name}: unknown parameter; {f'did you mean {near[0]}?' if near else known}")

    def text(self, name: str) -> str:
        """Return a text that must be there and not be empty."""
        value = self.optional_text(name)
        if not value:
            raise BadParams(name, f"{name}: {'expected text, got an empty one' if value == '' else 'is missing'}")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text or None."""
        value = self._take(name)
        if value is None or isinstance(value, str):
            if value is not None and not _encodes(value):
                raise BadParams(name, f"{name}: expected text, got half of a surrogate pair")
            return value
        raise _wrong(name, "text", value)

    def flag(self, name: str) -> bool:
        """Return true or false; false when it is not there."""
        value = self._take(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise _wrong(name, "true or false", value)

    def milliseconds(self, name: str) -> int | None:
        """Return a whole number of milliseconds or None."""
        return self._number(name, "milliseconds", 0, MAX_MS)

    def count(self, name: str) -> int | None:
        """Return a whole number of at least 1, or None."""
        return self._number(name, "a whole number of at least 1", 1, COUNT_MAX)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; empty when it is not there."""
        value = self._take(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(member, str) and _encodes(member) for member in value):
            raise _wrong(name, "a list of texts", value)
        return value

    def choice(self, name: str, *choices: str) -> str | None:
        """Return one of the choices or None."""
        value = self._take(name)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        raise _wrong(name, "one of " + ", ".join(choices), value)

    def scale(self, name: str) -> str | None:
        """Return "5", "+1" or "-1", None to go back to the file's number."""
        value = self._take(name)
        if value is None or (isinstance(value, str) and _SCALE.fullmatch(value)):
            return value
        raise _wrong(name, 'a number of workers as text such as "5", "+1" or "-1"', value)

    def table(self, name: str) -> dict[str, Any]:
        """Return an object; empty when it is not there."""
        value = self._take(name)
        if value is None or isinstance(value, dict):
            return value or {}
        raise _wrong(name, "an object", value)

    def anything(self, name: str) -> Any:
        """Return any JSON value, None when it is not there."""
        return self._take(name)

    def _number(self, name: str, expected: str, low: int, high: int) -> int | None:
        value = self._take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(name, expected, value)
        return value

    def _take(self, name: str) -> Any:
        self._known.append(name)
        return self._given.pop(name, None)


def _wrong(name: str, expected: str, value: Any) -> BadParams:
    return BadParams(name, f"{name}: expected {expected}, got {_told(value)}")


def _told(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + "…"


def _encodes(text: str) -> bool:
    """Whether the text can go to Redis and into a file: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
