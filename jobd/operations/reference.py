"""docs/control-socket.md, made from the table by `make docs`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from jobd.operations.operation import Effect, Needs, Operation
from jobd.operations.params.kinds import Params, kind_of
from jobd.operations.table import OPERATIONS
from jobd.protocol.control import LINE_MAX, PROTOCOL

_INTRODUCTION = f"""\
# The control socket

This page is generated from `jobd/operations/table.py` by `make docs`; a test keeps it current.

The daemon listens on a Unix stream socket. Each request is a line of JSON-RPC 2.0, and so is each answer:

```
{{"jsonrpc": "2.0", "id": 1, "method": "queue.pause", "params": {{"queue": "email"}}}}
{{"jsonrpc": "2.0", "id": 1, "result": {{"schema": 1, "queue": {{"name": "email", "state": "paused", "…": "…"}}}}}}
```

- Parameters are passed by name; null means not given. An unknown one, or one of the wrong type, is refused and named.
  Every result has `"schema": 1` besides the members below; members may be added later. Protocol {PROTOCOL}.
- A request has at most {LINE_MAX // 1024**2} MiB. Requests of one connection are answered in order; an invalid line
  gets an error and affects no other request.
- An error is `{{"code": -32000, "message": "…", "data": {{"code": "queue-unknown", "exit": 1, "detail": {{…}}}}}}`: the
  `code` in `data` never changes, `exit` is the exit code of the command. JSON-RPC's own numbers mean that the line
  (-32700, -32600), the method (-32601) or a parameter (-32602) is wrong.
- `reload` and `stop` send `{{"jsonrpc": "2.0", "method": "progress", "params": {{"id": 1, "text": "…"}}}}` before their
  result. When the client disconnects, the work goes on.
- `subscribe` sends the same for each line of the log or each event, with the document besides the text:
  `"params": {{"id": 1, "text": "email failed 7", "entry": {{…}}}}`.
- The socket file's mode decides who may connect: 0600, or 0660 with `[daemon] socket_group`. With `[daemon]
  status_group` a second socket, `status.sock`, answers requests that only read. Each change is logged with the caller's
  user and pid, never with job data. A program that acts for somebody else names the person in `"for"`, beside `method`;
  the log and a pause then say "alice through www".
- Operations that need Redis are done by the command line itself when no daemon answers, or with `--redis`; the others
  need a daemon but not Redis.
- Durations end in `_s` or `_ms`; times are milliseconds since 1970, as in BullMQ. Counts are null, never 0,
  when Redis did not answer.
"""

_SECTIONS = ("Args:", "Returns:", "Raises:")


def page() -> str:
    """Return the whole page."""
    return "\n".join([_INTRODUCTION, *_overview(), "", *_methods(), *_documents()]) + "\n"


def _overview() -> Iterator[str]:
    yield "## Methods"
    yield ""
    yield "| method | | needs | status socket |"
    yield "|---|---|---|---|"
    for operation in OPERATIONS.values():
        reading = operation.effect is Effect.READS and operation.for_status_group
        cells = [_link(operation.name), operation.effect.value, operation.needs.value, "yes" if reading else ""]
        yield f"| {' | '.join(cells)} |"


def _methods() -> Iterator[str]:
    for operation in OPERATIONS.values():
        yield f"### {operation.name}"
        yield ""
        yield from _text(operation)
        yield ""
        yield from _params(operation.params)
        yield f"Result: {_document_link(operation.result)}."
        yield ""


def _text(operation: Operation[Any, Any]) -> Iterator[str]:
    """Yield the docstring, what it raises as a sentence."""
    lines = (inspect.getdoc(operation.method()) or "").splitlines()
    cut = next((at for at, line in enumerate(lines) if line in _SECTIONS), len(lines))
    yield "\n".join(lines[:cut]).strip()
    needs = "a daemon" if operation.needs is Needs.DAEMON else "Redis"
    yield ""
    yield f"{operation.effect.value.capitalize()}; needs {needs}."


def _params(model: type[Params]) -> Iterator[str]:
    if not model.model_fields:
        yield "No parameters."
        yield ""
        return
    yield "| parameter | takes | default | |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        default = "needed" if field.is_required() else "" if field.default is None else f"`{_json(field.default)}`"
        yield f"| `{name}` | {kind_of(model, name)} | {default} | {field.description} |"
    yield ""


def _documents() -> Iterator[str]:
    yield "## Documents"
    yield ""
    for document in _reached():
        yield f"### Document {document.__name__}"
        yield ""
        yield inspect.getdoc(document) or ""
        yield ""
        yield "| member | | |"
        yield "|---|---|---|"
        for name, hint in get_type_hints(document, include_extras=True).items():
            shown, note = _member(hint)
            optional = name in document.__optional_keys__
            yield f"| `{name}` | {shown}{', may be missing' if optional else ''} | {note} |"
        yield ""


def _reached() -> list[Any]:
    """Return the documents of all operations and those inside them, in the order in which a reader meets them."""
    found: list[Any] = []
    left = [operation.result for operation in OPERATIONS.values()]
    while left:
        document = left.pop(0)
        if document not in found:
            found.append(document)
            left = [*_inside(document), *left]
    return found


def _inside(hint: Any) -> Iterator[Any]:
    if is_typeddict(hint):
        for member in get_type_hints(hint).values():
            yield from (member,) if is_typeddict(member) else _inside(member)
        return
    for part in get_args(hint):
        yield from (part,) if is_typeddict(part) else _inside(part)


def _member(hint: Any) -> tuple[str, str]:
    """Return the type of a member in words, and what its annotation says of it."""
    if get_origin(hint) is NotRequired:
        return _member(get_args(hint)[0])
    if get_origin(hint) is Annotated:
        inner, note, *_ = get_args(hint)
        return _type(inner), str(note)
    return _type(hint), ""


def _type(hint: Any) -> str:
    if is_typeddict(hint):
        return _document_link(hint)
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        known = [_type(part) for part in parts if part is not NoneType]
        return " or ".join([*known, "null"] if NoneType in parts else known)
    if origin is list:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"object of {_type(parts[1])}"
    return {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any JSON"}[hint]


def _json(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _link(name: str) -> str:
    """Return a link to a heading of the page, whose anchor drops dots as GitHub does."""
    return f"[{name}](#{re.sub(r'[^a-z0-9_-]', '', name.lower())})"


def _document_link(document: Any) -> str:
    return f"[{document.__name__}](#document-{document.__name__.lower()})"


if __name__ == "__main__":
    sys.stdout.write(page())
