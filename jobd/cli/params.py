"""What command lines are made of: durations, payloads, counts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from jobd.duration import parse_duration
from jobd.errors import DurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


class DurationParam(click.ParamType):  # type: ignore[type-arg]
    """A duration such as "30s", as milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the milliseconds, or fail as a usage error."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration(value)
        except DurationError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationParam()


def read_payload(text: str | None) -> Any:
    """Return the data that a command line gives: JSON, `-` for stdin, `@FILE`; nothing at all is `{}`.

    Raises:
        click.UsageError: it cannot be read or is not JSON; the text says where.
    """
    if text is None:
        return {}
    if text == "-":
        return parse_json(_read_stdin(), "stdin")
    if text.startswith("@"):
        try:
            return parse_json(Path(text[1:]).read_bytes(), text[1:])
        except (OSError, ValueError) as error:
            raise click.UsageError(f'cannot read "{text[1:]}": {getattr(error, "strerror", None) or error}') from None
    return parse_json(text, "the data")


def parse_json(text: str | bytes, source: str) -> Any:
    """Return the value of a JSON text. Raises click.UsageError with line and column."""
    try:
        # A word of the command line holds bytes that are no text as lone surrogates; of the two only this is a slip.
        decoded = (text.encode(errors="surrogateescape") if isinstance(text, str) else text).decode()
        if not decoded.strip():
            raise click.UsageError(f"{source} is not JSON: it is empty")
        return json.loads(decoded, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        shown = _line_at(error.doc, error.lineno, error.colno)
        raise click.UsageError(
            f"{source} is not JSON: line {error.lineno} column {error.colno}: {reason}{shown}"
        ) from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{source} is not JSON: byte {error.start + 1} is not UTF-8") from None
    except RecursionError:
        raise click.UsageError(f"{source} is not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise click.UsageError(f"{source} is not JSON: {error}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _line_at(text: str, line: int, column: int) -> str:
    """Return the line that is meant with a caret under the place."""
    lines = text.split("\n")
    start = max(0, column - 1 - 30)
    shown = "".join(ch if ch.isprintable() else " " for ch in lines[line - 1][start : start + 60])
    return f"\n  {shown}\n  {' ' * (column - 1 - start)}^"


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise click.UsageError("cannot read stdin: it is closed")
    return sys.stdin.buffer.read()


def dash_number_last(args: Sequence[str], pattern: str = r"-\d+") -> list[str]:
    """Return the words with one such as `-1` put behind `--`, so that it is a value and not an option."""
    words = list(args)
    found = next((word for word in words if re.fullmatch(pattern, word)), None)
    if found is None or "--" in words:
        return words
    words.remove(found)
    return [*words, "--", found]
