"""`jobd`: the top of the command line, and how any command ends."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import COMPLETING, Group
from jobd.cli.output import error_document, print_document, problem_text, warn
from jobd.cli.settings import COLORS, Settings
from jobd.errors import JobdError, Refused
from jobd.exits import INTERRUPTED, Exit, exit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOMES = {
    "init": ("jobd.cli.commands.init:init", "write a commented jobd.toml, jobs.py and test_jobs.py"),
    "check": (
        "jobd.cli.commands.check:check",
        "read the file, validate it, import the handlers in a throw-away process",
    ),
    "run": ("jobd.cli.commands.run:run", "run the daemon until it is stopped"),
    "plan": ("jobd.cli.commands.reload:plan", "show what reload would do"),
    "reload": ("jobd.cli.commands.reload:reload", "apply edits, wait, say what was done"),
    "status": ("jobd.cli.commands.status:status", "what runs, waits, fails; what differs from the file"),
    "top": ("jobd.cli.commands.top:top", "all of it on the whole screen, live"),
    "logs": ("jobd.cli.commands.logs:logs", "the last lines of the daemon's log, live with -f"),
    "events": ("jobd.cli.commands.events:events", "what happens to the jobs of queues, live with -f"),
    "metrics": ("jobd.cli.commands.metrics:metrics", "the numbers of the daemon, as Prometheus reads them"),
    "doctor": ("jobd.cli.commands.doctor:doctor", "what is wrong, what follows from it, what mends it"),
    "health": ("jobd.cli.commands.health:health", "is it running and ready, for probes"),
    "web": ("jobd.cli.commands.web:web", "the page: the same in a browser"),
    "stop": ("jobd.cli.commands.stop:stop", "stop the daemon, return when it is gone"),
    "drain": ("jobd.cli.commands.stop:stop", ""),
    "quiet": ("jobd.cli.commands.quiet:quiet", "this host takes no jobs, until unquiet or restart"),
    "unquiet": ("jobd.cli.commands.quiet:unquiet", "undo quiet"),
    "exec": ("jobd.cli.commands.exec:exec_", "run one handler here, without a daemon"),
    "queue": (
        "jobd.cli.commands.queue:queue",
        "list, show, pause, resume, quiet, unquiet, scale, reset, empty, clean, remove-orphans, obliterate",
    ),
    "job": ("jobd.cli.commands.job:job", "add, list, show, logs, stack, wait, retry, promote, change, cancel, remove"),
    "worker": ("jobd.cli.commands.worker:worker", "list, show, stack, restart, kill"),
    "host": ("jobd.cli.commands.host:host", "list"),
    "schedule": ("jobd.cli.commands.schedule:schedule", "list, run, pause, resume, next"),
    "config": ("jobd.cli.commands.config:config", "show, add-queue, remove-queue, schema"),
    "schema": ("jobd.cli.commands.schema:schema", "config, jobs: JSON Schemas, and TypeScript for producers"),
    "systemd": ("jobd.cli.commands.systemd:systemd", "print: the unit file for this installation"),
    "completion": ("jobd.cli.commands.completion:completion", "what the Tab key knows, for bash, zsh and fish"),
    "help": ("jobd.cli.commands.help:help_", "a command, or a topic: exit-codes, signals, environment, files"),
    "version": ("jobd.cli.commands.version:version", "jobd, Python, redis-py, BullMQ's layout"),
}
_TITLES = {
    "init": "Start", "plan": "Change", "status": "Look", "stop": "Stop", "exec": "Try", "queue": "More",
}  # fmt: skip
_EXAMPLES = [
    "jobd init                                  # a first jobd.toml, with a handler and its test",
    "jobd run                                   # the daemon, in the foreground",
    "jobd job add email welcome '{\"userId\": 7}' --wait",
    "jobd status                                # what runs, what waits",
    "jobd reload                                # after an edit; a mistake changes nothing",
]
_EXTRA = ("hiredis", "pydantic", "pydantic_core", "pydantic_settings", "tomli_w", "tree_sitter")
"""Modules of the daemon extra; one that is missing is told as that extra."""


@click.group(cls=Group, homes=_HOMES, titles=_TITLES, examples=_EXAMPLES)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, help="Print the version and exit.",
              callback=lambda ctx, _p, given: _print_version(ctx) if given else None)  # fmt: skip
def jobd() -> None:
    """A worker daemon for BullMQ queues: it reads jobd.toml and runs Python handlers for the jobs in Redis."""


def _print_version(ctx: click.Context) -> None:
    from jobd import __version__

    click.echo(f"jobd {__version__}")
    ctx.exit()


def run(argv: Sequence[str]) -> int:
    """Run one command line to its end, errors told, and return the exit code."""
    _have_streams()
    _write_any_text()
    settings = Settings(json=_asks_json(argv))
    question = os.environ.get(COMPLETING)
    if question:
        from jobd.cli.commands.completion import complete

        return complete(jobd, question)
    try:
        code = _run(argv, settings)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has enough (`| head`). Python flushes once more at its end; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:
        # Commands tell their own; what comes here is the answer itself, to a full disk for example.
        warn(f"error: cannot write the answer: {error.strerror or error}")
        return Exit.FAILED
    return code


def _run(argv: Sequence[str], settings: Settings) -> int:
    try:
        # Not click's own main: it answers a broken pipe with exit code 1.
        with jobd.make_context("jobd", _bare_color(argv), obj=settings) as ctx:
            code = jobd.invoke(ctx)
    except BrokenPipeError:
        raise
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as error:
        return _tell_usage(error, settings)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].removesuffix("_toml") not in _EXTRA:
            raise
        from jobd.cli import INSTALL_HINT

        return _tell(Refused("extra-missing", f"no module {error.name}; install the daemon extra: {INSTALL_HINT}"),
                     settings)  # fmt: skip
    except (JobdError, TimeoutError, OSError) as error:
        return _tell(error, settings)
    except Exception as error:
        # A fault of jobd's own: the traceback for whoever mends it, the document for whoever parses it.
        traceback.print_exc()
        return _tell(Refused("internal", f"jobd failed: {type(error).__name__}: {error}"), settings)
    return code if isinstance(code, int) else Exit.OK


def _tell(error: Exception, settings: Settings) -> int:
    code = exit_of(error)
    if settings.json:
        print_document(error_document(error))
    else:
        warn(problem_text(error))
    return code


def _tell_usage(error: click.ClickException, settings: Settings) -> int:
    text = error.format_message()
    ctx = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        if not settings.json:
            warn(text)
            return Exit.USAGE
        text = "missing command"
    message = _in_one_line(text[:1].lower() + text[1:]).rstrip(".")
    if settings.json:
        print_document({"schema": 1, "error": {"code": "usage", "message": message, "detail": {}}})
        return Exit.USAGE
    warn(f"error: {message}")
    if ctx is not None:
        warn(f"see: {ctx.command_path} --help")
    return Exit.USAGE


def _in_one_line(text: str) -> str:
    """Return click's words as one line: it lists choices one below the other, and calls a whole number by its type."""
    text, listed, choices = text.partition(". Choose from:\n")
    if listed:
        names = [choice.strip(" \t,") for choice in choices.splitlines()]
        text += f": one of {', '.join(names)}"
    return text.replace("is not a valid integer range", "is not a whole number").replace(
        "is not a valid integer", "is not a whole number"
    )


def _asks_json(argv: Sequence[str]) -> bool:
    """Whether --json stands anywhere: a usage error must be a document even when it comes before the flag is read."""
    return "--json" in (argv[: argv.index("--")] if "--" in argv else argv)


def _bare_color(argv: Sequence[str]) -> list[str]:
    """Return the words with a `--color` that has no value of its own as `--color=always`, as in ls and grep."""
    words = list(argv)
    for at, word in enumerate(words):
        if word == "--":
            break
        if word == "--color" and words[at + 1 : at + 2] not in [[color] for color in COLORS]:
            words[at] = "--color=always"
    return words


def _have_streams() -> None:
    """Let a closed stdout or stderr swallow what is written (`jobd status >&-`): the exit code still answers.

    Its descriptor is taken as well, or the next socket would get the number that programs take for an output.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", closefd=False))


def _write_any_text() -> None:
    """Job data may hold characters that the terminal's encoding lacks; they are escaped, nothing fails."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
