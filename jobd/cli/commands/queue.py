"""`jobd queue …`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import Command, Group, command
from jobd.cli.columns import Column, draw, fields, terminal_width
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer
from jobd.cli.params import dash_number_last
from jobd.operations import table
from jobd.operations.reasons import state_word, why_nothing_runs
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobd.cli.settings import Settings
    from jobd.operations.documents.queues import QueueDetails, QueueList, QueueReset

_HERE = "jobd.cli.commands.queue"
_COUNTS = ("waiting", "prioritized", "delayed", "active", "completed", "failed")


@click.group(
    "queue",
    cls=Group,
    homes={
        "list": (f"{_HERE}:list_", "every queue with its counts"),
        "show": (f"{_HERE}:show", "one queue"),
        "pause": (f"{_HERE}:pause", "in Redis: no worker anywhere takes its jobs"),
        "resume": (f"{_HERE}:resume", "undo pause"),
        "quiet": (f"{_HERE}:quiet", "this host takes none of its jobs, until unquiet or restart"),
        "unquiet": (f"{_HERE}:unquiet", "undo quiet"),
        "scale": (f"{_HERE}:scale", "change its number of workers here, until restart"),
        "reset": (f"{_HERE}:reset", "start its workers again although the breaker holds them back"),
        "empty": ("jobd.cli.commands.queue_clear:empty", "delete the jobs that wait to run"),
        "clean": ("jobd.cli.commands.queue_clear:clean", "delete old jobs of one state"),
        "remove-orphans": ("jobd.cli.commands.queue_clear:remove_orphans", "delete what is left of jobs that are gone"),
        "obliterate": ("jobd.cli.commands.queue_clear:obliterate", "delete a queue and everything in it"),
        "drain": (f"{_HERE}:drain", ""),
    },
    examples=["jobd queue list", 'jobd queue pause email --reason "mail server is down"', "jobd queue scale email +2"],
)
def queue() -> None:
    """Look at queues and change how they run."""


_reason = click.option("--reason", metavar="TEXT", help="Stored, and shown by status.")


@command("list", examples=["jobd queue list", "jobd queue list --redis redis://127.0.0.1:6379   # any BullMQ queues"])
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the queues with how many jobs are in each state."""
    answer(settings, ask(settings, table.QUEUE_LIST, {}), _list_lines)


@command("show", examples=["jobd queue show email", "jobd queue show email --minutes 1440 --json   # metrics of a day"])
@click.argument("queue")
@click.option("--minutes", type=click.IntRange(min=1), metavar="N", help="How many of BullMQ's metrics; 60 without.")
@click.pass_obj
def show(settings: Settings, queue: str, minutes: int | None) -> None:
    """Show one queue: counts, limits, metrics and, if nothing runs, why not and the command that changes that."""
    answer(
        settings, ask(settings, table.QUEUE_SHOW, {"queue": queue, **({"minutes": minutes} if minutes else {})}), _shown
    )


@command("pause", examples=["jobd queue pause email", 'jobd queue pause email --reason "cdn down"'])
@click.argument("queue")
@_reason
@click.pass_obj
def pause(settings: Settings, queue: str, reason: str | None) -> None:
    """Pause a queue in Redis: no worker anywhere takes its jobs, not even Node's. Survives restarts."""
    found = ask(settings, table.QUEUE_PAUSE, {"queue": queue, "reason": reason})
    answer(settings, found, lambda _: [f"{queue} is paused everywhere; resume with: jobd queue resume {queue}"])


@command("resume", examples=["jobd queue resume email"])
@click.argument("queue")
@click.pass_obj
def resume(settings: Settings, queue: str) -> None:
    """Undo `queue pause`."""
    found = ask(settings, table.QUEUE_RESUME, {"queue": queue})
    answer(settings, found, lambda _: [f"{queue} is resumed"])


@command("quiet", examples=["jobd queue quiet email      # running jobs finish; other hosts go on"])
@click.argument("queue")
@_reason
@click.pass_obj
def quiet(settings: Settings, queue: str, reason: str | None) -> None:
    """Stop taking a queue's jobs on this host; running ones finish, workers stay up."""
    found = ask(settings, table.QUEUE_QUIET, {"queue": queue, "reason": reason})
    answer(settings, found, lambda _: [f"{queue} is quiet on this host; undo with: jobd queue unquiet {queue}"])


@command("unquiet", examples=["jobd queue unquiet email"])
@click.argument("queue")
@click.pass_obj
def unquiet(settings: Settings, queue: str) -> None:
    """Undo `queue quiet`."""
    found = ask(settings, table.QUEUE_UNQUIET, {"queue": queue})
    answer(settings, found, lambda _: [f"{queue} is served on this host"])


class _Scale(Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `-1` for the number it is."""
        return super().parse_args(ctx, dash_number_last(args))


@command(
    "scale",
    cls=_Scale,
    examples=[
        "jobd queue scale email 5          # five workers",
        "jobd queue scale email +2         # two more; -1 for one less",
        "jobd queue scale email --reset    # as the file says",
    ],
)
@click.argument("queue")
@click.argument("to", metavar="N|+N|-N", required=False)
@click.option("--reset", is_flag=True, help="Back to the file's number.")
@_reason
@click.pass_obj
def scale(settings: Settings, queue: str, to: str | None, reset: bool, reason: str | None) -> None:
    """Change how many workers a queue has on this host. Lasts until restart, or until the file changes that key."""
    if reset == (to is not None):
        raise click.UsageError("give either a number (5, +2, -1) or --reset")
    if to is not None and not re.fullmatch(r"[+-]?\d{1,6}", to, re.ASCII):
        raise click.UsageError(f'expected a number of workers such as 5, +2 or -1, got "{to}"')
    found = ask(settings, table.QUEUE_SCALE, {"queue": queue, "to": to, "reason": reason})
    answer(settings, found, lambda doc: [f"{queue} has {plural(doc['workers'], 'worker')} (was {doc['was']})"])


@command("reset", examples=["jobd queue reset reports      # the cause is mended: do not wait for the breaker's retry"])
@click.argument("queue")
@click.pass_obj
def reset(settings: Settings, queue: str) -> None:
    """Start a queue's workers now, although the breaker or a failed start holds them back."""
    answer(settings, ask(settings, table.QUEUE_RESET, {"queue": queue}), _reset_line)


def _reset_line(found: QueueReset) -> list[str]:
    held = found["was"]
    return [
        f"{found['queue']} starts again; it was held back: {held}" if held else f"{found['queue']} is not held back"
    ]


class _Drain(Command):
    ignore_unknown_options = True


@command("drain", examples=["jobd queue quiet email"], cls=_Drain)
@click.argument("words", nargs=-1, metavar="QUEUE", type=click.UNPROCESSED)
def drain(words: tuple[str, ...]) -> int:
    """Answer what BullMQ's word stands for here, with whatever options it was typed."""
    name = next((word for word in words if not word.startswith("-")), "Q")
    raise click.UsageError(
        f"`drain` is BullMQ's word for deleting the waiting jobs: that is: jobd queue empty {name}; "
        f"to let work finish: jobd queue quiet {name}"
    )


def _list_lines(document: QueueList) -> Iterable[str]:
    queues = document["queues"]
    if not queues:
        return ["no queues"]
    columns = [Column("QUEUE"), Column("STATE"), *(Column(name.upper(), right=True) for name in _COUNTS)]
    rows = [[found["name"], state_word(found), *(_count(found.get(name)) for name in _COUNTS)] for found in queues]
    faults = [f"{found['name']}: {found['fault']}" for found in queues if "fault" in found]
    return [*draw(columns, rows, terminal_width()), *faults]


def _count(value: Any) -> str:
    return "?" if value is None else str(value)


def _shown(document: QueueDetails) -> Iterable[str]:
    row = document["queue"]
    yield from fields({**row, **_told_short(document)})
    reason = why_nothing_runs(row)
    if reason is not None:
        yield f"nothing runs because {reason.text}"
        yield f"next: {reason.next_command}"


def _told_short(document: QueueDetails) -> dict[str, str]:
    """Return the counts per priority and the metrics, each in one line."""
    # The daemon may be of a version that does not tell them yet.
    priorities, told = document.get("priorities", {}), {}
    if priorities.keys() - {"0"}:
        told["priorities"] = ", ".join(f"{word}: {count}" for word, count in priorities.items())
    for kind, counted in document.get("metrics", {}).items():
        minutes = counted["data"]
        last = f", {sum(minutes)} in the last {plural(len(minutes), 'minute')} counted" if minutes else ""
        told[f"{kind} in all"] = f"{counted['count']}{last}"
    return told
