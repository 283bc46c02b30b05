"""What a template's imports gave, as problems of the file: each at the place of the handler that does not import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.config.tables import Loop
from jobd.daemon.processes.worker_spec import UVLOOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobd.config.model import Config, Queue
    from jobd.config.problems import Problem
    from jobd.protocol.worker import HandlerReport

    Place = tuple[str | int, ...]

_UVLOOP_HINT = "install it where the workers run: pip install '.[daemon,embedded,uvloop]' in a clone of jobd"


def import_problems(config: Config, queues: Iterable[Queue], reports: Iterable[HandlerReport]) -> list[Problem]:
    """Return one problem for each place of the file that names something which cannot be used."""
    broken: dict[tuple[str, str | None], HandlerReport] = {
        (report.path, report.wanted): report for report in reports if not report.ok
    }
    problems = []
    for queue in queues:
        mode = queue.mode.value if queue.mode else None
        named = [(path, mode, place) for path, place in _handlers(queue)]
        named += [(path, None, place) for path, place in _extras(queue)]
        for path, wanted, place in named:
            report = broken.get((path, wanted))
            if report is not None:
                message, hint = _told(report)
                at = ("queues", queue.name, "mode") if report.kind == "mode" else place
                problems.append(config.problem_at(at, message, hint))
    return problems


def _handlers(queue: Queue) -> Iterator[tuple[str, Place]]:
    table: Place = ("queues", queue.name)
    if queue.handler:
        yield queue.handler, (*table, "handler")
    for name, job in queue.jobs.items():
        yield job.handler, (*table, "jobs", name, "handler")


def _extras(queue: Queue) -> Iterator[tuple[str, Place]]:
    table: Place = ("queues", queue.name)
    named = {"setup": queue.setup, "teardown": queue.teardown, "on_failed": queue.on_failed}
    for key, path in named.items():
        if path:
            yield path, (*table, key)
    for index, path in enumerate(queue.wrap):
        yield path, (*table, "wrap", index)
    if queue.loop is Loop.UVLOOP:
        yield UVLOOP, (*table, "loop")


def _told(report: HandlerReport) -> tuple[str, str | None]:
    """Return (message, hint): the hint stands beside the caret, its further lines below."""
    if report.path == UVLOOP:
        why = (report.message or "").partition('": ')[2].removesuffix("; is it on [app] path?")
        return "cannot import uvloop", f"{why}\n{_UVLOOP_HINT}"
    text = report.message or f'cannot import "{report.path}"'
    head, quote, rest = text.partition(f'"{report.path}"')
    message = f"{head}`{report.path}`" if quote else text
    rest = rest.removeprefix(": ")
    if report.kind != "import":
        return message + (rest if rest.startswith(" ") else f": {rest}" if rest else ""), None
    why, _, searched = rest.partition("; searched: ")
    searched = searched or ", ".join(report.searched)
    return message, (f"{why}\nsearched: {searched} (from [app] path)" if searched else why) or None
