"""`jobd check`: everything that is wrong with the file, and what would run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.columns import Column, draw, terminal_width
from jobd.cli.output import answer, warn
from jobd.errors import RedisUnavailable
from jobd.exits import Exit
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.cli.check_imports import Imported
    from jobd.cli.settings import Settings
    from jobd.cli.waiting_jobs import Misfit
    from jobd.config.model import Config, Queue


@command(
    "check",
    examples=[
        "jobd check                       # the file that jobd run would read",
        "jobd check new.toml --resolve    # also tries to read every secret",
        "jobd check --waiting             # also warns of waiting jobs whose data does not fit the handlers",
    ],
)
@click.argument("file", required=False)
@click.option("--resolve", is_flag=True, help="Also read the secrets, to find out now which ones cannot be read.")
@click.option(
    "--waiting", is_flag=True, help="Also look for waiting jobs in Redis that do not fit; so does --redis URL."
)
@click.pass_obj
def check(settings: Settings, file: str | None, resolve: bool, waiting: bool) -> int:
    """Validate the file and import its handlers in a throw-away process. Reports all problems and exits with 78.

    No Redis is needed, except to look at the jobs that wait there: a job that does not fit is a warning.
    """
    from jobd.cli.check_imports import import_handlers, load_all

    config = load_all(settings, file, resolve=resolve)
    imported = import_handlers(config, resolve=resolve)
    imported.refuse()
    for notice in (*imported.notices, *_few_files(config)):
        warn(f"notice: {notice}")
    document = _document(config, imported)
    if waiting or settings.redis:
        _look_at_waiting(config, settings.redis, document, must=waiting)
    answer(settings, document, _lines)
    return Exit.OK


_SHOWN = 5
"""Misfits of one job name that are shown; the rest is counted."""


def _look_at_waiting(config: Config, url: str | None, document: dict[str, Any], *, must: bool) -> None:
    """Add the waiting jobs that do not fit to the document and its warnings; `must`: no Redis is an error."""
    from jobd.cli.waiting_jobs import MOST, look

    try:
        looked = look(config, url)
    except RedisUnavailable as error:
        if must:
            raise
        warn(f"notice: the waiting jobs were not looked at: {error}")
        return
    document["waiting"] = {"jobs": looked.jobs, "misfits": [misfit.document() for misfit in looked.misfits]}
    groups: dict[tuple[str, str], list[Misfit]] = {}
    for misfit in looked.misfits:
        groups.setdefault((misfit.queue, misfit.job), []).append(misfit)
    for (queue, name), misfits in groups.items():
        document["warnings"] += [
            f'waiting job {misfit.id} ("{name}" of {queue}) does not fit: {misfit.reason}'
            for misfit in misfits[:_SHOWN]
        ]
        if len(misfits) > _SHOWN:
            document["warnings"].append(f'{len(misfits) - _SHOWN} more waiting jobs "{name}" of {queue} do not fit')
    for queue in looked.partly:
        warn(f"notice: of the jobs waiting in {queue} only the first {MOST} were looked at")


def _few_files(config: Config) -> list[str]:
    """Say when a daemon started from here could not open as many files as its workers need."""
    from jobd.daemon.processes.kernel import OPEN_FILES
    from jobd.daemon.processes.worker_spec import open_files_needed

    needed, hard = open_files_needed(config.queues.values()), OPEN_FILES.given[1]
    if 0 <= hard < needed:  # a negative one is no limit
        return [f"this configuration needs {needed} open files, the hard limit here is {hard}: raise it (LimitNOFILE=)"]
    return []


def _document(config: Config, imported: Imported) -> dict[str, Any]:
    redis = config.redis
    source: dict[str, Any] = {"url": None, "embedded": True, "prefix": redis.prefix}
    if redis.url is not None:
        from jobd.locate import mask_url

        source = {"url": mask_url(redis.url), "embedded": False, "prefix": redis.prefix, "origin": config.redis_origin}
    return {
        "config": {"path": str(config.path), "files": [file.name for file in config.files]},
        "redis": source,
        "queues": [_queue(queue, imported.modes) for queue in config.queues.values()],
        "slots": sum(queue.scaling.max * queue.jobs_at_once for queue in config.queues.values()),
        "warnings": [str(problem) for problem in config.warnings],
        "notices": list(imported.notices),
    }


def _queue(queue: Queue, modes: Mapping[str, str]) -> dict[str, Any]:
    named: list[tuple[str | None, str]] = [(name, job.handler) for name, job in queue.jobs.items()]
    if queue.handler:
        named.append((None, queue.handler))
    own = queue.mode.value if queue.mode else None
    return {
        "name": queue.name,
        "workers": queue.scaling.plain(),
        "concurrency": queue.concurrency,
        "slots": queue.scaling.max * queue.jobs_at_once,
        "handlers": [{"job": name, "handler": path, "mode": own or modes.get(path)} for name, path in named],
    }


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    redis = document["redis"]
    yield f"config {document['config']['path']}" + "".join(f" + {name}" for name in document["config"]["files"][1:])
    where = "embedded, started by jobd run" if redis["embedded"] else f"{redis['url']} ({redis['origin']})"
    yield f"redis  {where}, prefix {redis['prefix']}"
    yield ""
    columns = [Column("QUEUE"), Column("JOB"), Column("HANDLER"), Column("MODE", spare=1), Column("SLOTS")]
    yield from draw(columns, list(_rows(document["queues"])), terminal_width())
    handlers = len({found["handler"] for queue in document["queues"] for found in queue["handlers"]})
    yield ""
    for text in document["warnings"]:
        yield f"warning: {text}"
    yield (
        f"ok: {plural(len(document['queues']), 'queue')}, {plural(handlers, 'handler')}, "
        f"{plural(document['slots'], 'slot')}, {plural(len(document['warnings']), 'warning')}"
    )


def _rows(queues: list[dict[str, Any]]) -> Iterator[list[str]]:
    for queue in queues:
        name, slots = queue["name"], f"{queue['workers']} x {queue['concurrency']}"
        for handler in queue["handlers"]:
            yield [name, handler["job"] or "*", handler["handler"], handler["mode"] or "", slots]
            name = slots = ""
