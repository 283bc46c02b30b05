"""All commands and topics as one text: the man page and the manual's page come from the same place as --help."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Command, Group
from jobd.cli.topics import TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobd.cli.topics import Topic


def commands(root: Group) -> Iterator[tuple[str, Command]]:
    """Yield every command with its words ("jobd queue pause"), in the order of the help; aliases are left out."""
    for name, (_, text) in root.homes.items():
        found = root.get_command(click.Context(root), name)
        if not text or found is None:
            continue
        if isinstance(found, Group):
            for words, inner in commands(found):
                yield f"{root.name} {words}", inner
        elif isinstance(found, Command):
            yield f"{root.name} {name}", found


def as_markdown(root: Group) -> str:
    """Return the manual's page of commands."""
    lines = [
        "# Commands",
        "",
        "Made from the commands themselves; `jobd COMMAND --help` and the man page (`jobd help man`) say the same.",
        "",
    ]
    for words, command in commands(root):
        lines += [f"## {words}", "", *_prose(command), ""]
        lines += ["```text", _usage(words, command), *command.examples, "```", ""]
        options = _options(command)
        if options:
            lines += _table(("option", "does"), options)
    lines += ["## Everywhere", "", "Before and after any command:", ""]
    lines += _table(("option", "does"), _records(root.common, root, "jobd"))
    for name, topic in TOPICS.items():
        title = name.replace("-", " ").capitalize()
        lines += [f"## {title}", "", topic.intro, "", *_table(("", ""), topic.rows)]
    return "\n".join(lines)


def as_man_page(root: Group, version: str) -> str:
    """Return the man page jobd(1), in man(7)'s macros."""
    lines = [
        f'.TH JOBD 1 "" "jobd {version}" "User Commands"',
        ".SH NAME", r"jobd \- worker daemon for BullMQ queues",
        ".SH SYNOPSIS", r".B jobd", r"\fIcommand\fR [\fIoption\fR ...]",
        ".SH DESCRIPTION", *_man(inspect.getdoc(root.callback) or ""),
        ".SH COMMANDS",
    ]  # fmt: skip
    for words, command in commands(root):
        lines += [".TP", rf"\fB{_man_text(_usage(words, command))}\fR", *_man(" ".join(_prose(command)))]
        for flag, text in _options(command):
            lines += [".RS", ".TP", rf"\fB{_man_text(flag)}\fR", *_man(text), ".RE"]
    lines += [".SH OPTIONS", "Before and after any command:"]
    for flag, text in _records(root.common, root, "jobd"):
        lines += [".TP", rf"\fB{_man_text(flag)}\fR", *_man(text)]
    for name, topic in TOPICS.items():
        lines += [f".SH {name.replace('-', ' ').upper()}", *_man(topic.intro)]
        for what, text in topic.rows:
            lines += [".TP", rf"\fB{_man_text(what)}\fR", *_man(text)]
    lines += [".SH EXAMPLES", ".nf", *(_man_text(example) for example in root.examples), ".fi"]
    return "\n".join(lines) + "\n"


def topic_lines(topic: Topic) -> Iterator[str]:
    """Yield a topic as `jobd help` prints it."""
    width = max(len(what) for what, _ in topic.rows)
    yield topic.intro
    yield ""
    for what, text in topic.rows:
        yield f"  {what:<{width}}  {text}"


def _prose(command: click.Command) -> list[str]:
    return [" ".join(part.split()) for part in (command.help or "").split("\n\n")]


def _usage(words: str, command: click.Command) -> str:
    with click.Context(command, info_name=words) as ctx:
        return " ".join([words, *(piece for piece in command.collect_usage_pieces(ctx) if piece != "[OPTIONS]")])


def _options(command: Command) -> list[tuple[str, str]]:
    return _records([each for each in command.params if each not in command.common], command, command.name or "")


def _records(
    params: list[click.Option] | list[click.Parameter], command: click.Command, name: str
) -> list[tuple[str, str]]:
    with click.Context(command, info_name=name) as ctx:
        return [record for each in params if isinstance(each, click.Option) and (record := each.get_help_record(ctx))]


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return [*lines, *(f"| `{what}` | {text.replace('|', chr(92) + '|')} |" for what, text in rows), ""]


def _man(text: str) -> list[str]:
    lines = [_man_text(" ".join(part.split())) for part in text.split("\n\n")]
    # A line that begins with a dot or a quote would be a macro.
    return [rf"\&{line}" if line[:1] in (".", "'") else line for line in lines]


def _man_text(text: str) -> str:
    return re.sub(r"-", r"\\-", text.replace("\\", r"\e"))
