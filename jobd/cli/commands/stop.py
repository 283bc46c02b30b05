"""`jobd stop`: returns when the daemon's process is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import call, connect
from jobd.cli.output import answer, progress, warn
from jobd.cli.params import DURATION
from jobd.cli.progress_bar import waiting
from jobd.exits import Exit
from jobd.operations.handed_back import HANDED_BACK_OFTEN, outlasts
from jobd.operations.table import STOP
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.cli.settings import Settings
    from jobd.operations.documents.daemon import Stopped

_GONE_LIMIT_S = 60.0
"""After the last job the daemon ends its templates and its Redis; an append-only file may take that long to sync."""


@command(
    "stop",
    examples=[
        "jobd stop                # waits for running jobs as long as [daemon] grace says",
        "jobd stop --grace 5m     # as long as this; what runs then goes back to the front of its queue",
        "jobd stop --now          # hands back at once",
    ],
)
@click.option("--grace", type=DURATION, metavar="D", help="Wait this long for running jobs.")
@click.option("--now", is_flag=True, help="Do not wait for running jobs.")
@click.pass_obj
def stop(settings: Settings, grace: int | None, now: bool) -> int:
    """Stop the daemon; return when it is gone.

    Names the jobs it waits for. Unfinished ones go back to the front of their queue, the attempt not counted.
    """
    if now and grace is not None:
        raise click.UsageError("--now and --grace exclude each other")
    with connect(settings) as daemon:
        try:
            with waiting("stop", progress(settings)) as tell:
                document = call(daemon, STOP, {"grace_ms": grace, "now": now}, on_progress=tell)
        except KeyboardInterrupt:
            warn("the daemon goes on stopping; see: jobd status")
            raise
        if not daemon.wait_gone(_GONE_LIMIT_S):
            raise TimeoutError(f"the daemon has stopped its jobs, but process {daemon.peer_pid()} is still there")
    answer(settings, document, stop_lines)
    return Exit.OK


def stop_lines(document: Stopped) -> Iterator[str]:
    """Yield how the stop ended."""
    back = document["handed_back"]
    line = f"done. {document['finished']} finished, {len(back)} handed back"
    if back:
        named = ", ".join(f"{job['queue']} {printable(job['id'])}" for job in back)
        line += f" ({named}; attempt not counted)"
    yield line + "."
    for job in back:
        times = job.get("times", 1)  # a daemon that was started before its package was renewed does not tell it
        if times >= HANDED_BACK_OFTEN:
            yield f"warning: {job['queue']} {printable(job['id'])} was {outlasts(times)}."
