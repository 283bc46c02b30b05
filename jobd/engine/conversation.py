"""What is sent to Redis for some commands, and what is sent once more: decided once, for sync and async runners."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import redis.exceptions as failures

from jobd.engine.trouble import is_demoted

if TYPE_CHECKING:
    from jobd.engine.runner import Command, Word


class Exchange:
    """One write and its replies. `loads` are scripts made known in front; `renew`: on a connection made anew first."""

    __slots__ = ("loads", "renew", "words")

    def __init__(self, words: Sequence[tuple[Word, ...]], loads: Sequence[str] = (), renew: bool = False) -> None:
        self.words = words
        self.loads = loads
        self.renew = renew

    def sent(self) -> list[tuple[Word, ...]]:
        """Everything that goes over the wire, in order."""
        return [*((b"SCRIPT", b"LOAD", source) for source in self.loads), *self.words] if self.loads else [*self.words]


Talk = Generator[Exchange, list[Any], list[Any]]
"""A conversation under way: what to send, answered by the replies; ends with one reply per command."""


def conversation(commands: Sequence[Command[Any]]) -> Talk:
    """Say what to send and, from the replies, what to send once more; returns one reply per command.

    Sent again is only what did not run: a script that Redis did not know, and what a demoted primary refused.
    """
    # Several in one write cannot wait for NOSCRIPT in the middle without losing their order: they bring their scripts.
    replies = yield Exchange([command.parts() for command in commands], _sources(commands) if len(commands) > 1 else ())
    if isinstance(replies[0], failures.NoScriptError) and len(commands) == 1:
        replies = yield Exchange([commands[0].parts()], _sources(commands))
    again = [index for index, reply in enumerate(replies) if is_demoted(reply)]
    if again:
        refused = [commands[index] for index in again]
        fresh = yield Exchange([command.parts() for command in refused], _sources(refused), renew=True)
        for index, reply in zip(again, fresh, strict=True):
            replies[index] = reply
    return replies


def begun(command: Command[Any]) -> Talk:
    """Return the conversation about a command that was sent by itself: what is to come is its reply."""
    talk = conversation((command,))
    next(talk)
    return talk


def _sources(commands: Iterable[Command[Any]]) -> list[str]:
    return list({command.script.sha: command.script.source for command in commands if command.script}.values())
