"""`jobd help`: a command's help, or a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import Group, command
from jobd.words import nearest

if TYPE_CHECKING:
    pass


@command(
    "help",
    examples=[
        "jobd help queue pause     # as jobd queue pause --help",
        "jobd help exit-codes      # also: signals, environment, files",
        "jobd help man             # the man page, to be installed where the package cannot: > jobd.1",
    ],
)
@click.argument("topic", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, topic: tuple[str, ...]) -> None:
    """Explain a command or a topic: exit-codes, signals, environment, files, man. Without one: the commands."""
    from jobd import __version__
    from jobd.cli.manual import as_man_page, topic_lines
    from jobd.cli.topics import TOPICS

    root = ctx.find_root()
    if len(topic) == 1 and topic[0] in TOPICS:
        click.echo("\n".join(topic_lines(TOPICS[topic[0]])))
    elif topic == ("man",) and isinstance(root.command, Group):
        click.echo(as_man_page(root.command, __version__), nl=False)
    else:
        click.echo(_help_of(root, list(topic)))


def _help_of(root: click.Context, words: list[str]) -> str:
    from jobd.cli.topics import TOPICS

    found, ctx = root.command, root
    for word in words:
        inner = found.get_command(ctx, word) if isinstance(found, Group) else None
        if inner is None:
            known = [*found.homes, *(TOPICS if found is root.command else ())] if isinstance(found, Group) else []
            near = nearest(word, known, likeness=0.5)
            hint = f'did you mean "{near}"?' if near else f"topics are {', '.join([*TOPICS, 'man'])}"
            raise click.UsageError(f'no help on "{" ".join(words)}"; {hint}')
        ctx = click.Context(inner, info_name=word, parent=ctx)
        found = inner
    return found.get_help(ctx)
