"""The lines of the control socket: newline-delimited JSON-RPC 2.0, made and read here, by both sides.

Pure: bytes to values and back. Imported by every `jobd status`, so only the light part of the standard library.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from jobd.errors import (
    ConfigError,
    HandlerError,
    InputError,
    JobdError,
    NotThere,
    ProtocolError,
    Refused,
)
from jobd.exits import Exit, exit_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROTOCOL = 1
"""Number of this protocol; `hello` tells it."""

LINE_MAX = 1024 * 1024
"""Bytes of one request, its newline not counted."""

REPLY_MAX = 256 * 1024 * 1024
"""Bytes of one answer: a long list of jobs is larger than any request; more than this is a fault."""

STATUS_SOCKET = "status.sock"
"""Beside the control socket when [daemon] status_group is set; answers what only reads."""

BEHALF_MAX = 128
"""Characters of the name of the person for whom a program asks."""

_ENTRIES_A_PART = 50
"""Jobs, with up to 80 kB each in a listing, that are written as JSON in one go."""

Id = str | int | float | None


class RpcCode(IntEnum):
    """The number in an error object. All but REFUSED are JSON-RPC's own."""

    PARSE = -32700
    REQUEST = -32600
    METHOD = -32601
    PARAMS = -32602
    INTERNAL = -32603
    REFUSED = -32000


class Request(NamedTuple):
    """One request. `wants_answer` is False for a JSON-RPC notification, which has no id.

    `behalf` names the person for whom another program asks (the page's user), None when it asks for itself.
    """

    id: Id
    method: str
    params: dict[str, Any]
    wants_answer: bool
    behalf: str | None = None


class Reply(NamedTuple):
    """One line of the daemon: a result, an error object, or (both None) the text of a progress notification.

    `fed` is what a subscription's notification has beside the text: `entry`, or how many were `missed`.
    """

    id: Id
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    progress: str | None
    fed: dict[str, Any] | None = None


class BadRequest(JobdError):
    """A line that is no request. `rpc` is its JSON-RPC code, `id` the request's as far as it could be read."""

    def __init__(self, rpc: RpcCode, code: str, message: str, *, request_id: Id = None) -> None:
        super().__init__(message)
        self.rpc = rpc
        self.code = code
        self.id = request_id


class BadParams(InputError):
    """A parameter is missing, unknown or of the wrong kind. `param` is its name."""

    code = "params-invalid"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class LineTooLong(InputError):
    """A request is longer than the daemon reads; it was not sent."""

    code = "line-too-long"


def encode_request(request_id: int, method: str, params: dict[str, Any], behalf: str | None = None) -> bytes:
    """Return the line of a request; `behalf` is the member `for`, the person for whom it is asked.

    Raises:
        LineTooLong: it is longer than the daemon reads.
        InputError: it holds what JSON cannot carry.
    """
    line = _line(
        {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params} | ({"for": behalf} if behalf else {})
    )
    if len(line) - 1 > LINE_MAX:
        raise LineTooLong(f"cannot send {method}: the request has {len(line)} bytes, at most {LINE_MAX} are read")
    return line


def encode_result_parts(request_id: Id, result: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the line of a result in parts: of a long list some entries at a time, so that others get their turn.

    `"schema": 1` is added.

    Raises:
        InputError: it holds what JSON cannot carry.
    """
    yield b'{"jsonrpc":"2.0","id":' + _json(request_id) + b',"result":{"schema":1'
    for name, value in result.items():
        yield b"," + _json(name) + b":"
        if not isinstance(value, list) or len(value) <= _ENTRIES_A_PART:
            yield _json(value)
            continue
        for start in range(0, len(value), _ENTRIES_A_PART):
            yield (b"," if start else b"[") + _json(value[start : start + _ENTRIES_A_PART])[1:-1]
        yield b"]"
    yield b"}}\n"


def encode_error(request_id: Id, error: Exception) -> bytes:
    """Return the line of an error; what is not one of jobd's own exceptions is told as an internal error."""
    return _line({"jsonrpc": "2.0", "id": request_id, "error": error_object(error)})


def encode_progress(request_id: Id, text: str, fed: Mapping[str, Any] | None = None) -> bytes:
    """Return the line of a progress notification; `fed` is what else it has."""
    params = {"id": request_id, "text": text, **(fed or {})}
    return _line({"jsonrpc": "2.0", "method": "progress", "params": params})


def parse_request(line: bytes) -> Request:
    """Return the request of a line.

    Raises:
        BadRequest: it is none.
    """
    message = _parse(line)
    if isinstance(message, list):
        raise BadRequest(RpcCode.REQUEST, "request-invalid", "batches are not supported: send one request a line")
    if not isinstance(message, dict):
        raise BadRequest(RpcCode.REQUEST, "request-invalid", "expected an object such as " + _EXAMPLE)
    request_id = message.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, str | int | float | None):
        raise BadRequest(RpcCode.REQUEST, "request-invalid", "id: expected text, a number or null")
    if message.get("jsonrpc") != "2.0":
        raise BadRequest(RpcCode.REQUEST, "request-invalid", 'jsonrpc: expected "2.0"', request_id=request_id)
    method = message.get("method")
    if not isinstance(method, str):
        raise BadRequest(RpcCode.REQUEST, "request-invalid", "method: expected text", request_id=request_id)
    params = message.get("params")
    if not isinstance(params, dict | None):
        raise BadRequest(RpcCode.PARAMS, "params-invalid", "params: expected an object, by name", request_id=request_id)
    behalf = message.get("for")
    if not isinstance(behalf, str | None) or len(behalf or "") > BEHALF_MAX or not (behalf or "x").isprintable():
        text = f"for: expected a name of at most {BEHALF_MAX} characters"
        raise BadRequest(RpcCode.REQUEST, "request-invalid", text, request_id=request_id)
    return Request(request_id, method, params or {}, "id" in message, behalf or None)


_EXAMPLE = '{"jsonrpc": "2.0", "id": 1, "method": "hello"}'


def parse_reply(line: bytes) -> Reply:
    """Return what a line of the daemon says.

    Raises:
        ProtocolError: it is not a line of this protocol.
    """
    try:
        message = _parse(line)
    except BadRequest as bad:
        raise ProtocolError(f"the daemon's answer cannot be read: {bad}") from bad
    if isinstance(message, dict):
        result, error, params = message.get("result"), message.get("error"), message.get("params")
        if isinstance(result, dict):
            return Reply(message.get("id"), result, None, None)
        if isinstance(error, dict):
            return Reply(message.get("id"), None, error, None)
        if message.get("method") == "progress" and isinstance(params, dict):
            fed = {name: params[name] for name in ("entry", "missed") if name in params}
            return Reply(params.get("id"), None, None, str(params.get("text", "")), fed)
    raise ProtocolError("the daemon's answer is neither a result nor an error nor progress")


def error_object(error: Exception) -> dict[str, Any]:
    """Return the JSON-RPC error object of an exception: `code`, `message`, `data` {`code`, `exit`, `detail`}."""
    if isinstance(error, JobdError):
        data = {"code": error.code, "exit": _exit_of(error), "detail": _detail(error)}
        return {"code": int(_rpc_code(error)), "message": str(error), "data": data}
    data = {"code": "internal", "exit": int(Exit.FAILED), "detail": {}}
    message = f"the daemon failed to answer ({type(error).__name__}); its log has the traceback"
    return {"code": int(RpcCode.INTERNAL), "message": message, "data": data}


def raise_error(error: dict[str, Any]) -> NoReturn:
    """Raise Refused with what an error object of the daemon says."""
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    code, exit_with, detail = data.get("code"), data.get("exit"), data.get("detail")
    raise Refused(
        code if isinstance(code, str) else "error",
        str(error.get("message", "refused without a reason")),
        exit_code=exit_with if isinstance(exit_with, int) else Exit.FAILED,
        detail=detail if isinstance(detail, dict) else {},
    )


def _exit_of(error: JobdError) -> int:
    return Exit.USAGE if isinstance(error, BadRequest) else exit_of(error)


def _rpc_code(error: JobdError) -> RpcCode:
    if isinstance(error, BadRequest):
        return error.rpc
    return RpcCode.PARAMS if isinstance(error, BadParams) else RpcCode.REFUSED


def _detail(error: JobdError) -> dict[str, Any]:
    if isinstance(error, Refused | HandlerError):
        return error.detail
    if isinstance(error, NotThere):
        return {"kind": error.kind, "name": error.name, "known": list(error.known)}
    if isinstance(error, ConfigError):
        return {"problems": list(error.problems)}
    if isinstance(error, BadParams):
        return {"param": error.param}
    return {}


def _line(message: dict[str, Any]) -> bytes:
    return _json(message) + b"\n"


def _json(value: Any) -> bytes:
    # ASCII only: half a surrogate pair out of somebody's job data still makes a line that everybody reads.
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"cannot write as JSON: {error}") from error


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise BadRequest(RpcCode.PARSE, "json-invalid", "not JSON: nested too deeply") from None
    except ValueError as error:
        raise BadRequest(RpcCode.PARSE, "json-invalid", f"not JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
