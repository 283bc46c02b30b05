"""`jobd completion SHELL`: what the Tab key knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import COMPLETING, command

if TYPE_CHECKING:
    from jobd.cli.settings import Settings


@command(
    "completion",
    examples=[
        "jobd completion bash > ~/.local/share/bash-completion/completions/jobd",
        "jobd completion zsh > ~/.zfunc/_jobd        # a folder of $fpath, before compinit",
        "jobd completion fish > ~/.config/fish/completions/jobd.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(settings: Settings, shell: str) -> None:
    """Print the function that completes commands, options and the file's queues in this shell."""
    from click.shell_completion import get_completion_class

    del settings
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(click.Command("jobd"), {}, "jobd", COMPLETING).source())


def complete(root: click.Command, instruction: str) -> int:
    """Answer a shell's question: `instruction` is what it wrote into COMPLETING."""
    from click.shell_completion import shell_complete

    return shell_complete(root, {}, "jobd", COMPLETING, instruction)
