"""`jobd run`: the daemon, in this process. Its rooms are imported here and nowhere else in the command line."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.errors import JobdError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobd.cli.settings import Settings
    from jobd.daemon.control.socket_activation import PassedSockets
    from jobd.metrics.page import NumbersPage


@command(
    "run",
    examples=[
        "jobd run                         # every queue of the file, until Ctrl-C or SIGTERM",
        "jobd run --queue 'mail*'         # only these",
        "jobd run --dev                   # while you write handlers: new code by itself, readable log, no waiting",
        "jobd run --until-empty           # ends when nothing waits, runs or is delayed",
    ],
)
@click.option(
    "--queue", "queues", multiple=True, metavar="GLOB", help="Only queues whose name matches; may be repeated."
)
@click.option("--until-empty", is_flag=True, help="End when the queues have no job left to run.")
@click.option(
    "--dev",
    is_flag=True,
    help="Reload code automatically, log as text, with tracebacks of failed attempts, hand jobs back when stopped.",
)
@click.pass_obj
def run(settings: Settings, queues: tuple[str, ...], until_empty: bool, dev: bool) -> int:
    """Run the daemon in the foreground until it is stopped. A wrong file: reports all problems and exits with 78."""
    from jobd.daemon.control.socket_activation import take_passed
    from jobd.daemon.logs import hold_standard_descriptors

    hold_standard_descriptors()
    if os.getpid() == 1:
        # Until the daemon handles it: the kernel drops what PID 1 has no handler for, and `docker stop` would wait.
        signal.signal(signal.SIGTERM, _leave)
    passed = take_passed(os.environ)
    try:
        return _run(settings, queues, until_empty, dev, passed)
    except JobdError as error:
        passed.refuse_waiting(error)
        raise


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _run(settings: Settings, queues: tuple[str, ...], until_empty: bool, dev: bool, passed: PassedSockets) -> int:
    import asyncio

    from jobd.cli.check_imports import load_all

    config = load_all(settings)
    from jobd.daemon.run import RunOptions, main

    options = RunOptions(
        queues=queues, until_empty=until_empty, dev=dev, socket=settings.socket, redis=settings.redis, passed=passed
    )
    return asyncio.run(main(config, options, _numbers_page()))


def _numbers_page() -> Callable[[Path], NumbersPage] | None:
    """Return what makes the page of numbers, None without the extra."""
    from importlib.util import find_spec

    if find_spec("prometheus_client") is None:
        return None
    from jobd.metrics.page import NumbersPage

    return NumbersPage
