from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from jobd.errors import (
    ConfigError,
    HandlerError,
    InputError,
    JobFailed,
    NotThere,
    ProtocolError,
    RedisRefused,
    RedisUnavailable,
    Refused,
)
from jobd.protocol import control
from jobd.protocol.control import BadParams, BadRequest, RpcCode, parse_reply, parse_request


def encoded(request_id: int | str, result: dict[str, Any]) -> bytes:
    return b"".join(control.encode_result_parts(request_id, result))


def test_a_request_is_read_as_it_was_written() -> None:
    line = control.encode_request(7, "queue.pause", {"queue": "email", "reason": "größer\nzwei"})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    request = parse_request(line)
    assert (request.id, request.method, request.wants_answer) == (7, "queue.pause", True)
    assert request.params == {"queue": "email", "reason": "größer\nzwei"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", RpcCode.PARSE),
        (b"hello", RpcCode.PARSE),
        (b'{"jsonrpc": "2.0"', RpcCode.PARSE),
        (b"\xff\xfe", RpcCode.PARSE),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "hello"}', RpcCode.PARSE),
        (b"[" * 100_000, RpcCode.PARSE),
        (b"1" * 5000, RpcCode.PARSE),
        (b"[]", RpcCode.REQUEST),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "hello"}]', RpcCode.REQUEST),
        (b"7", RpcCode.REQUEST),
        (b"null", RpcCode.REQUEST),
        (b'"hello"', RpcCode.REQUEST),
        (b"{}", RpcCode.REQUEST),
        (b'{"id": 1, "method": "hello"}', RpcCode.REQUEST),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "hello"}', RpcCode.REQUEST),
        (b'{"jsonrpc": "2.0", "id": true, "method": "hello"}', RpcCode.REQUEST),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "hello"}', RpcCode.REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1}', RpcCode.REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', RpcCode.REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": [1]}', RpcCode.PARAMS),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": "x"}', RpcCode.PARAMS),
    ],
)
def test_what_is_no_request_gets_the_code_that_json_rpc_names(line: bytes, code: RpcCode) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(line)
    assert caught.value.rpc is code
    answer = json.loads(control.encode_error(caught.value.id, caught.value))
    assert answer["error"]["code"] == code
    assert set(answer["error"]["data"]) == {"code", "exit", "detail"}


def test_an_error_about_a_request_carries_its_id_where_it_can_be_read() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(b'{"jsonrpc": "2.0", "id": "a", "method": 1}')
    assert caught.value.id == "a"


def test_a_notification_wants_no_answer_and_null_params_are_none() -> None:
    request = parse_request(b'{"jsonrpc": "2.0", "method": "hello", "params": null}')
    assert not request.wants_answer
    assert request.params == {}


@pytest.mark.parametrize(
    ("error", "rpc", "code", "exit_with", "detail"),
    [
        (Refused("queue-busy", "no", exit_code=75, detail={"a": 1}), -32000, "queue-busy", 75, {"a": 1}),
        (NotThere("queue", "x", known=["y"]), -32000, "queue-unknown", 1,
         {"kind": "queue", "name": "x", "known": ["y"]}),
        (InputError("no"), -32000, "input-invalid", 2, {}),
        (BadParams("to", "to: no"), -32602, "params-invalid", 2, {"param": "to"}),
        (ConfigError("no", ["a", "b"]), -32000, "config-invalid", 78, {"problems": ["a", "b"]}),
        (HandlerError("a:b", "import", "no", detail={"x": 1}), -32000, "handler-invalid", 78, {"x": 1}),
        (RedisUnavailable("no"), -32000, "redis-unavailable", 69, {}),
        (RedisRefused("no"), -32000, "redis-refused", 1, {}),
        (JobFailed("7", "no"), -32000, "job-failed", 1, {}),
        (KeyError("secret"), -32603, "internal", 1, {}),
    ],
)  # fmt: skip
def test_an_exception_becomes_an_error_object(
    error: Exception, rpc: int, code: str, exit_with: int, detail: dict[str, object]
) -> None:
    told = control.error_object(error)
    assert told["code"] == rpc
    assert told["data"] == {"code": code, "exit": exit_with, "detail": detail}
    assert "secret" not in told["message"]
    with pytest.raises(Refused) as caught:
        control.raise_error(told)
    assert (caught.value.code, caught.value.exit_code, caught.value.detail) == (code, exit_with, detail)


@pytest.mark.parametrize("error", [{}, {"data": 5, "message": None}, {"data": {"exit": "x", "code": 1, "detail": []}}])
def test_an_error_object_of_another_make_is_still_a_refusal(error: dict[str, object]) -> None:
    with pytest.raises(Refused) as caught:
        control.raise_error(error)
    assert (caught.value.code, caught.value.exit_code, caught.value.detail) == ("error", 1, {})


def test_results_carry_the_schema_and_half_surrogates_survive() -> None:
    line = encoded("x", {"data": "\ud800"})
    reply = parse_reply(line)
    assert reply.id == "x"
    assert reply.result == {"schema": 1, "data": "\ud800"}


def test_a_result_that_is_not_json_is_an_error_and_no_broken_line() -> None:
    for bad in (float("nan"), object(), {1j: 2}):
        with pytest.raises(InputError):
            encoded(1, {"x": bad})


def test_progress_names_its_request() -> None:
    reply = parse_reply(control.encode_progress(3, "thumbs ready"))
    assert (reply.id, reply.progress, reply.result, reply.error) == (3, "thumbs ready", None, None)


@pytest.mark.parametrize("line", [b"", b"5", b"[]", b"{}", b'{"id": 1, "result": 5}', b"\xff"])
def test_a_line_that_is_no_answer_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_reply(line)


def test_a_request_longer_than_the_daemon_reads_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InputError, match="at most 1048576"):
        control.encode_request(1, "job.add", {"data": "x" * control.LINE_MAX})


def test_the_client_needs_little_beyond_what_python_has_loaded() -> None:
    code = "import sys; import jobd.protocol.control_client; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"asyncio", "dataclasses", "inspect", "logging", "subprocess", "redis", "pydantic", "click", "jobd.engine"}
    assert heavy.isdisjoint(loaded)


def test_a_result_in_parts_is_the_whole_one() -> None:
    for count in (0, 1, 50, 51, 100, 257):
        result = {"jobs": [{"id": str(number), "data": {"x": "ü"}} for number in range(count)], "more": None, "n": 1.5}
        parts = list(control.encode_result_parts(7, result))
        line = json.loads(b"".join(parts))
        assert line == {"jsonrpc": "2.0", "id": 7, "result": {"schema": 1, **result}}
        assert b"".join(parts).count(b"\n") == 1
        assert max(len(part) for part in parts) < 3000
    with pytest.raises(InputError):
        encoded(1, {"a": [float("nan")]})
