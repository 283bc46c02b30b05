"""`jobd job add`."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import Command, command
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer, json_text, warn
from jobd.cli.params import DURATION, read_payload
from jobd.cli.queue_names import names_in_file
from jobd.cli.waiting import wait_for
from jobd.duration import spell_duration
from jobd.errors import DurationError, JobdError
from jobd.exits import Exit
from jobd.operations.reasons import state_word
from jobd.operations.table import JOB_ADD, QUEUE_SHOW
from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.cli.settings import Settings

_TIME = re.compile(r"(\d+(\.\d+)?(ms|s|m|h|d))+", re.ASCII)


class _Keep(click.ParamType):  # type: ignore[type-arg]
    name = "keep"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool | int:
        """Return true (all), false (none) or a count."""
        if isinstance(value, bool | int):
            return value
        if value in ("true", "false"):
            return bool(value == "true")
        if value.isascii() and value.isdigit():
            return int(value)
        raise click.BadParameter(f'expected true, false or a count, got "{value}"', ctx, param)


class _Add(Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take a bare --wait for one without a limit, whatever stands behind it."""
        return super().parse_args(ctx, _bare_wait(args))


def _bare_wait(args: Sequence[str]) -> list[str]:
    words = list(args)
    end = words.index("--") if "--" in words else len(words)
    if "--wait" in words[:end]:
        at = words.index("--wait")
        # "30s" is never JSON, so behind --wait it can only be the limit.
        limit = words.pop(at + 1) if at + 1 < end and _TIME.fullmatch(words[at + 1]) else ""
        words[at] = f"--wait={limit}"
    return words


@command(
    "add",
    cls=_Add,
    examples=[
        "jobd job add email welcome '{\"userId\": 7}'          # prints the id",
        "jobd job add email welcome '{\"userId\": 7}' --wait   # waits, prints the result as JSON",
        "jobd job add email welcome @payload.json --wait=30s --attempts 5 --backoff 10s",
        "produce | jobd job add email welcome - --delay 1h --id welcome-7",
    ],
)
@click.argument("queue")
@click.argument("name")
@click.argument("data", required=False, metavar="[JSON|-|@FILE]")
@click.option("--wait", metavar="[=D]", help="Wait for the result; 75 when it takes longer than D.")
@click.option("--timeout", type=DURATION, metavar="D", help="As --wait=D, in the words of `job wait`.")
@click.option("--delay", type=DURATION, metavar="D", help="Not before this time has passed.")
@click.option("--attempts", type=int, metavar="N", help="At most this many runs, the first included.")
@click.option("--backoff", metavar="D", help="Pause before the next attempt: 5s, or exponential:5s.")
@click.option("--priority", type=int, metavar="N", help="1 runs first.")
@click.option("--id", "job_id", metavar="ID", help="The job's id; adding it again changes nothing.")
@click.option("--lifo", is_flag=True, default=None, help="To the front of the queue.")
@click.option("--deduplicate", metavar="ID", help="Add nothing while a job with this deduplication id exists.")
@click.option("--keep-completed", type=_Keep(), metavar="N", help="true: all, false: none, or a count.")
@click.option("--keep-failed", type=_Keep(), metavar="N", help="true: all, false: none, or a count.")
@click.pass_obj
def add(settings: Settings, /, queue: str, name: str, data: str | None, wait: str | None, **options: Any) -> int:
    """Add a job and print its id; with --wait its result, as JSON. Without data: {}."""
    limit = _limit(wait, options.pop("timeout"))
    given = {key: value for key, value in options.items() if value is not None}
    if "delay" in given:
        given["delay"] = spell_duration(given["delay"])
    if "backoff" in given:
        given["backoff"] = _backoff(given["backoff"])
    payload = {"queue": queue, "name": name, "data": read_payload(data), "options": given}
    document = ask(settings, JOB_ADD, payload)
    job = document["job"]
    if job["duplicate"]:
        warn(f"job {job['id']} was there already; nothing was added")
    elif job["deduplicated"]:
        warn(f"job {job['id']} has that deduplication id; nothing was added")
    if wait is None:
        answer(settings, document, lambda found: [found["job"]["id"]])
        _wonder(settings, queue)
        return Exit.OK
    result = wait_for(settings, queue, job["id"], limit, job["event_id"])
    answer(settings, {"job": job, "result": result}, lambda found: [json_text(found["result"])])
    return Exit.OK


def _wonder(settings: Settings, queue: str) -> None:
    """Say so when nobody takes the jobs of a queue that is not in the file: its name may be a slip."""
    known = names_in_file(settings.config)
    if settings.json or not known or queue in known:
        return
    # It has been added, whatever becomes of this question.
    with contextlib.suppress(JobdError, OSError):
        if state_word(ask(settings, QUEUE_SHOW, {"queue": queue})["queue"]) == "no workers":
            near = nearest(queue, known)
            warn(f'notice: no worker anywhere takes jobs of "{queue}"' + (f'; did you mean "{near}"?' if near else ""))


def _backoff(text: str) -> dict[str, str]:
    """Return "5s" or "exponential:5s" as a client's table."""
    kind, colon, delay = text.rpartition(":")
    if colon and kind not in ("fixed", "exponential"):
        raise click.UsageError(f'--backoff: expected 5s, fixed:5s or exponential:5s, got "{text}"')
    return {"type": kind or "fixed", "delay": delay}


def _limit(wait: str | None, timeout_ms: int | None) -> float | None:
    """Return the seconds to wait at most, from --wait=D or --timeout D."""
    if timeout_ms is not None:
        if wait != "":
            raise click.UsageError("--timeout says how long --wait waits: give it with a bare --wait")
        return timeout_ms / 1000
    try:
        return DURATION.convert(wait, None, None) / 1000 if wait else None
    except (click.UsageError, DurationError) as error:
        raise click.UsageError(f"--wait: {error}") from None
