"""Answers to stdout, everything else to stderr; one JSON document with --json."""

from __future__ import annotations

import json
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jobd.errors import ConfigError, DaemonAway, JobdError, JobFailed, NotThere, Refused
from jobd.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobd.cli.settings import Settings


D = TypeVar("D", bound="Mapping[str, Any]")


def answer(settings: Settings, document: D, lines: Callable[[D], Iterable[str]]) -> None:
    """Print a document, with --json as it is, else the lines drawn from it."""
    if settings.json:
        print_document(document)
        return
    for line in lines(document):
        click.echo(line, color=settings.colored)


def print_document(document: Mapping[str, Any]) -> None:
    """Print one JSON document on a line of its own."""
    click.echo(json_text({"schema": 1, **document}))


def print_entry(settings: Settings, entry: D, line: Callable[[D], str]) -> None:
    """Print one entry of a stream: with --json as an object on a line of its own, else the line drawn from it."""
    click.echo(json_text(entry) if settings.json else line(entry), color=settings.colored)


def leave_with_reader() -> None:
    """End this process, with exit code 0, as soon as nobody reads its stdout any more.

    For what follows: `jobd events -f | head -2` would stay there until the next event lets it see the closed pipe.
    """
    with suppress(OSError, ValueError, AttributeError):  # there may be no descriptor, or no stdout
        descriptor = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            threading.Thread(target=_await_reader_gone, args=(descriptor,), daemon=True).start()


def _await_reader_gone(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # errors only, and a pipe without a reader is one
    poll.poll()
    # The main thread waits for a socket; it has nothing to finish, and nobody to tell.
    os._exit(Exit.OK)


def json_text(value: Any) -> str:
    """Return a value as JSON that every parser reads and stdout can encode.

    Half a surrogate pair, which a handler's result may hold, becomes U+FFFD: parsers refuse it, written out or not.
    """
    text = json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text if encoding.lower().startswith("utf") else json.dumps(json.loads(text))


def warn(text: str) -> None:
    """Print a line to stderr."""
    click.echo(text, err=True)


def progress(settings: Settings) -> Callable[[str], None]:
    """Return what prints the lines of a long command as they come: part of the answer, or beside the JSON one."""
    return lambda text: click.echo(text, err=settings.json)


def problem_text(error: BaseException) -> str:
    """Return what a person reads when `error` ends a command."""
    text = _said(error)
    lines = [text if text.startswith("error: ") else f"error: {text}"]
    if isinstance(error, NotThere) and error.known:
        lines.append(f"known: {', '.join(error.known)}")
    if isinstance(error, DaemonAway):
        lines += [f"tried {path}: {why}" for path, why in error.tried if str(path) not in text]
    return "\n".join(lines)


def error_document(error: BaseException) -> dict[str, Any]:
    """Return the document that stands for `error` under --json."""
    code = error.code if isinstance(error, JobdError) else _CODES.get(type(error), "error")
    message, detail = _said(error), _detail(error)
    if detail.get("problems"):
        message = message.partition("\n")[0].removeprefix("error: ")
    body = {"code": code, "message": message, "detail": detail}
    return {"schema": 1, "error": body}


def _said(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f': "{error.filename}"' if error.filename else "")
    return str(error) or type(error).__name__


_CODES: dict[type[BaseException], str] = {TimeoutError: "timed-out", PermissionError: "not-permitted"}


def _detail(error: BaseException) -> dict[str, Any]:
    if isinstance(error, Refused):
        return error.detail
    if isinstance(error, ConfigError):
        return {"problems": list(error.problems)}
    if isinstance(error, DaemonAway):
        return {"tried": [{"path": str(path), "why": why} for path, why in error.tried]}
    if isinstance(error, JobFailed):
        return {"id": error.job_id, "reason": error.reason}
    if isinstance(error, NotThere):
        return {"kind": error.kind, "name": error.name, "known": list(error.known)}
    return {}
