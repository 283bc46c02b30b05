"""The kinds of click commands that all of jobd's are: examples first, common options, late imports, near names."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.settings import common_options
from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COMPLETING = "_JOBD_COMPLETE"
"""The variable by which a shell asks jobd itself what fits (click's convention)."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


class Command(click.Command):
    """One command. `examples` are whole command lines, what they do after two spaces and a #."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", CONTEXT)
        super().__init__(*args, **kwargs)
        self.examples = examples
        if COMPLETING in os.environ:
            from jobd.cli.queue_names import complete_queues

            complete_queues(self.params)
        self.common = common_options([flag for parameter in self.params for flag in parameter.opts])
        self.params = [*self.params, *self.common]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, then usage, text and options."""
        write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those that every command has."""
        write_options(self, self.common, ctx, formatter)


class Group(click.Group):
    """Commands whose modules are imported when one of them is called.

    `homes` is {name: (module:attribute, what it does)} in the order of the help; `titles` is {first name: heading}.
    """

    def __init__(
        self,
        *args: Any,
        homes: Mapping[str, tuple[str, str]],
        titles: Mapping[str, str] | None = None,
        examples: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", CONTEXT)
        super().__init__(*args, **kwargs)
        self.homes = homes
        self.titles = titles or {}
        self.examples = examples
        self.common = common_options()
        self.params = [*self.params, *self.common]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        del ctx
        return list(self.homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None."""
        del ctx
        home = self.homes.get(cmd_name)
        if home is None:
            return None
        module, _, attribute = home[0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what `args` name; an unknown name is a usage error with the nearest known one."""
        if args[0] not in self.homes and not args[0].startswith("-"):
            near = nearest(args[0], self.homes, likeness=0.5)
            hint = f'did you mean "{near}"?' if near else f"known are {', '.join(self.homes)}"
            raise click.UsageError(f'no such command "{args[0]}"; {hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, then usage, text and commands."""
        write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, then the options."""
        rows: list[tuple[str, str]] = []
        heading = "Commands"
        for name, (home, text) in self.homes.items():
            if name in self.titles and rows:
                _write_rows(formatter, heading, rows)
                rows = []
            heading = self.titles.get(name, heading)
            if home and text:
                rows.append((name, text))
        _write_rows(formatter, heading, rows)
        write_options(self, self.common, ctx, formatter)


def command(name: str, *, examples: Sequence[str], cls: type[Command] = Command) -> Callable[[Any], Command]:
    """Return a decorator that makes a Command of a function; its docstring is the help."""

    def decorate(function: Any) -> Command:
        made: Command = click.command(name, cls=cls, examples=examples)(function)
        return made

    return decorate


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write the examples as they would be typed."""
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        formatter.write("\n")


def write_options(
    command: click.Command, common: Sequence[click.Option], ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the options of one command apart from the common ones."""
    own = [record for p in command.get_params(ctx) if p not in common and (record := p.get_help_record(ctx))]
    _write_rows(formatter, "Options", own)
    _write_rows(formatter, "Everywhere", [record for p in common if (record := p.get_help_record(ctx))])


def _write_rows(formatter: click.HelpFormatter, heading: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(rows)
