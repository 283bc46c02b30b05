"""`jobd init`: a first jobd.toml with a handler and its test; all files or none."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.output import answer
from jobd.errors import Refused
from jobd.exits import Exit
from jobd.locate import absolute
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.cli.init_discover import Discovery
    from jobd.cli.settings import Settings


@command(
    "init",
    examples=[
        "jobd init                                     # with a private Redis that jobd starts",
        "jobd init --redis redis://127.0.0.1:6379/0    # with the BullMQ queues and job names found there",
    ],
)
@click.pass_obj
def init(settings: Settings) -> int:
    """Write jobd.toml, jobs.py and test_jobs.py into this folder: all of them, or none when one exists.

    With --redis the queues and job names found there become tables to fill in, held quiet until you have.
    """
    main = absolute(settings.config or "jobd.toml")
    paths = [main, main.with_name("jobs.py"), main.with_name("test_jobs.py")]
    _refuse_existing(paths)
    found: Discovery | None = None
    if settings.redis:
        from jobd.cli.init_discover import discover

        found = discover(settings.redis)
    from jobd.cli.init_files import config_text, handlers_text, tests_text

    app = main.parent.name or "jobd"
    queues = found.queues if found else []
    config = config_text(app, settings.redis, queues, found.prefix) if found else config_text(app, None, [])
    texts = [config, handlers_text(queues), tests_text(queues)]
    _write_all(paths, texts)
    document = {
        "files": [str(path) for path in paths],
        "queues": [{"name": queue.name, "jobs": list(queue.names)} for queue in queues],
        "prefix": found.prefix if found else None,
        "other_prefixes": found.others if found else {},
    }
    answer(settings, document, lambda told: _lines(told, from_redis=bool(settings.redis)))
    return Exit.OK


def _refuse_existing(paths: list[Path]) -> None:
    existing = [path.name for path in paths if os.path.lexists(path)]
    if existing:
        verb = "exist" if len(existing) > 1 else "exists"
        message = f"{' and '.join(existing)} {verb} already; nothing was written"
        raise Refused("file-exists", message, detail={"files": existing})


def _write_all(paths: list[Path], texts: list[str]) -> None:
    """Write every file, or leave none behind. Only the owner reads them: the URL may hold a password."""
    written: list[Path] = []
    try:
        for path, text in zip(paths, texts, strict=True):
            mode = 0o600 if path.suffix == ".toml" else 0o644
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for made in written:
            with contextlib.suppress(OSError):
                made.unlink()
        message = f'cannot write "{path}": {error.strerror or error}; nothing was written'
        code = Exit.NOT_PERMITTED if isinstance(error, PermissionError) or error.errno == errno.EROFS else Exit.FAILED
        raise Refused("cannot-write", message, exit_code=code) from error


def _lines(document: Mapping[str, Any], *, from_redis: bool) -> Iterator[str]:
    names = [Path(path).name for path in document["files"]]
    yield f"wrote {', '.join(names)}"
    queues = document["queues"]
    if queues:
        listed = ", ".join(queue["name"] for queue in queues)
        yield f'found {plural(len(queues), "queue")} under the prefix "{document["prefix"]}": {listed}'
        yield 'write their handlers in jobs.py, then take out the line "quiet = true" of a queue'
    elif from_redis:
        yield "found no queues there; the file has an example"
    for prefix, count in document["other_prefixes"].items():
        yield f'not looked at: {plural(count, "queue")} under the prefix "{prefix}" ([redis] prefix says which)'
    yield "next: jobd check, then jobd run"
