from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from jobd.engine.backoff import Backoff
from jobd.engine.job import Keep
from jobd.errors import ProtocolError
from jobd.protocol import worker as messages
from jobd.protocol.worker import HandlerReport, HandlerSpec, Message, Numbers, RedisTarget

LOAD = messages.Load(
    "0.1",
    1,
    ["/srv"],
    {"A": "b"},
    [messages.HandlerUse("a:b", "thread")],
    [],
    messages.RedisTarget("redis://h", "bull"),
)

HANDLER = HandlerSpec("shop.mail:send", "async", 1000, 2000, 3000, 5, 9, Backoff("exponential", 1000, 0.2, 5000))
NUMBERS = Numbers(4, 30_000, Keep(1, 2, 3), Keep(), 10, 1000, "fail", HANDLER, {"x": HandlerSpec("a:b")})
START = messages.Start(
    "0.0.1", "host:mail", "mail", "inc:0.0.1:", RedisTarget("redis://h", "bull", "u", "secret"), NUMBERS,
    "a:setup", None, ["a:wrap"], 5,
)  # fmt: skip
ALL: list[Message] = [
    LOAD,
    messages.Loaded("0.1", 1, 7, [HandlerReport("a:b", ok=True, mode="thread")], None, ["note"], {"/srv/a.py": 2**62}),
    messages.Fork("0.0.1"), messages.Forked("0.0.1", 7), messages.ForkFailed("0.0.1", "why"),
    messages.Exited("0.0.1", 7, 9), START, messages.Ready(True), messages.StartFailed("setup", "why", "a:b"),
    messages.Quiet(), messages.Quieted(), messages.Resume(), messages.Settings(NUMBERS), messages.Drain(),
    messages.UseRedis(messages.RedisTarget("redis://h/0", "bull", "user", "secret")), messages.AskRedis(),
    messages.Stop(300), messages.Cancel(1, "7", 2, "lock-lost"), messages.DumpStacks(), messages.Stacks("text"),
    messages.RedisState(False, "gone"),
    messages.JobEnded("7", "x", "crashed", "died", '"\udcff"', "{}", 1, 0, 0, 1, None),
    messages.EndedHeard("7", 1),
]  # fmt: skip


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_message_survives_json(message: Message) -> None:
    assert messages.decode(json.loads(json.dumps(messages.encode(message)))) == message


def test_every_message_type_is_tried_here() -> None:
    assert {type(message).__name__ for message in ALL} == set(messages._TYPES)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"type": None}, {"type": "Nonsense"}, {"type": ["Quiet"]}, {"type": "Quiet", "extra": 1},
        {"type": "Stop", "patience_ms": "500"}, {"type": "Stop", "patience_ms": True},
        {"type": "Stop", "patience_ms": None},
        {"type": "Cancel", "slot": 1, "job_id": "7", "ats": 2, "why": "because"}, {"type": "Cancel", "slot": 1},
        {"type": "Fork"}, {"type": "Fork", "worker": 7},
    ],
)  # fmt: skip
def test_body_of_another_shape_is_a_protocol_error(body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        messages.decode(body)


@pytest.mark.parametrize("path", ["numbers", "redis", "wrap", "numbers.default.backoff", "numbers.jobs.x"])
@pytest.mark.parametrize("value", [7, "text", [], [7], {"unknown": 1}, True])
def test_wrong_part_deep_inside_is_a_protocol_error(path: str, value: Any) -> None:
    body = json.loads(json.dumps(messages.encode(START)))
    if path == "wrap" and value == []:
        return
    *parents, last = path.split(".")
    place = body
    for name in parents:
        place = place[name]
    place[last] = value
    with pytest.raises(ProtocolError):
        messages.decode(body)


def test_password_is_not_shown() -> None:
    assert "secret" not in repr(START)


def test_other_message_than_expected_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="expected Start, got Quiet"):
        messages.expect(messages.encode(messages.Quiet()), messages.Start)


def test_absent_optional_field_has_its_default() -> None:
    assert messages.decode({"type": "Stop"}) == messages.Stop(500)
    assert replace(messages.Stop(), patience_ms=1) == messages.Stop(1)
