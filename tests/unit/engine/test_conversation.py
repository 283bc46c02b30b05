"""What is sent to Redis, and what is sent once more, without a Redis."""

from __future__ import annotations

from typing import Any

import redis.exceptions as failures

from jobd.engine.conversation import Exchange, conversation
from jobd.engine.runner import Command
from jobd.engine.scripts import script

PLAIN: Command[Any] = Command(("GET", "k"), lambda reply: reply)
SCRIPTED: Command[Any] = Command((1, "k"), lambda reply: reply, script("renew_prefix"))
SOURCE = script("renew_prefix").source


def talk(commands: list[Command[Any]], *replies: list[Any]) -> tuple[list[Exchange], list[Any]]:
    """Return what was said while Redis answered with these replies, and what came of it."""
    conversation_ = conversation(commands)
    said = [next(conversation_)]
    for reply in replies:
        try:
            said.append(conversation_.send(reply))
        except StopIteration as end:
            return said, end.value
    raise AssertionError("it goes on")


def shown(exchange: Exchange) -> tuple[list[Any], bool]:
    return [words[0] if len(words) < 3 else words[:2] for words in exchange.sent()], exchange.renew


def test_one_command_is_one_exchange() -> None:
    said, replies = talk([PLAIN], [b"v"])
    assert [shown(one) for one in said] == [([b"GET"], False)]
    assert replies == [b"v"]


def test_a_script_that_redis_does_not_know_is_loaded_and_sent_again() -> None:
    said, replies = talk([SCRIPTED], [failures.NoScriptError("no")], [b"v"])
    assert said[1].loads == [SOURCE]
    assert not said[1].renew
    assert replies == [b"v"]


def test_several_bring_their_scripts_along_once() -> None:
    said, _ = talk([SCRIPTED, PLAIN, SCRIPTED], [1, 2, 3])
    assert said[0].loads == [SOURCE]
    assert [one[0] for one in said[0].sent()] == [b"SCRIPT", "EVALSHA", b"GET", "EVALSHA"]


def test_what_a_demoted_primary_refused_is_sent_once_more_on_a_new_connection() -> None:
    refused = failures.ReadOnlyError("You can't write against a read only replica.")
    said, replies = talk([PLAIN, SCRIPTED, PLAIN], [b"a", refused, refused], [b"b", refused])
    assert said[1].renew
    assert said[1].words == [SCRIPTED.parts(), PLAIN.parts()]
    assert said[1].loads == [SOURCE]
    assert replies == [b"a", b"b", refused]


def test_other_refusals_are_not_repeated() -> None:
    oom = failures.ResponseError("OOM command not allowed")
    said, replies = talk([PLAIN], [oom])
    assert len(said) == 1
    assert replies == [oom]
