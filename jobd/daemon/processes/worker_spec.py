"""From one queue's configuration to what its template and its workers are told: pure, except for reading secrets."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobd import __version__
from jobd.config.env_values import fill, is_of_worker
from jobd.config.tables import Loop
from jobd.daemon.notify import without_own
from jobd.engine.job import KeyLimit
from jobd.locate import OFFSPRING_VARIABLE, read_secret
from jobd.protocol import board
from jobd.protocol.worker import HandlerSpec, HandlerUse, Load, Numbers, RedisTarget, Start

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jobd.config.model import Config, JobHandler, Queue
    from jobd.locate import RedisSource, Secret

EMBEDDED_URL = "unix:///embedded"
"""Stands for the embedded server in templates, which never connect."""

UVLOOP = "uvloop:new_event_loop"
"""What `loop = "uvloop"` imports, before the fork; where it is missing, that is a fault of the file."""

_PRIVATE = ("JOBD_",)
"""Variables by prefix that are the daemon's own business."""


@dataclass(frozen=True, slots=True)
class TemplateKey:
    """What makes two queues share a template. `env` holds secrets as places, not values."""

    python: str
    path: tuple[str, ...]
    env: tuple[tuple[str, str | Secret], ...]
    working_dir: str | None
    preload: bool


_FILES_OF_DAEMON = 256
"""Log, Redis, state, the control socket's callers."""

_FILES_PER_WORKER = 4
"""Its socket, its board, its output pipe, its pidfd."""


def open_files_needed(queues: Collection[Queue]) -> int:
    """Return how many files the daemon may have open with these queues: a replacement and a template for each too."""
    workers = sum(queue.scaling.max for queue in queues)
    return open_files_of(workers + 3 * len(queues))


def open_files_of(processes: int) -> int:
    """Return how many files the daemon may have open with this many processes below it."""
    return _FILES_OF_DAEMON + _FILES_PER_WORKER * processes


def template_key(queue: Queue) -> TemplateKey:
    """Return the template that a queue's workers are forked from."""
    return TemplateKey(
        str(queue.python) if queue.python else sys.executable,
        tuple(str(folder) for folder in queue.path),
        tuple(sorted(queue.env.items())),
        str(queue.working_dir) if queue.working_dir else None,
        queue.preload,
    )


def handlers_of(queue: Queue) -> list[str]:
    """Return the handlers of a queue, each once, in the order of the file."""
    paths = [queue.handler] if queue.handler else []
    paths += [job.handler for job in queue.jobs.values()]
    return list(dict.fromkeys(paths))


def uses_of(queue: Queue) -> list[HandlerUse]:
    """Return the handlers of a queue with the mode it wants them in."""
    batch = queue.batch is not None
    return [HandlerUse(path, queue.mode.value if queue.mode else None, batch) for path in handlers_of(queue)]


def extras_of(queue: Queue) -> list[str]:
    """Return what else is imported for a queue: setup, teardown, wrap, on_failed, and the loop when it is uvloop's."""
    named = [queue.setup, queue.teardown, *queue.wrap, queue.on_failed]
    named += [UVLOOP] if queue.loop is Loop.UVLOOP else []
    return list(dict.fromkeys(path for path in named if path))


def child_environment(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of templates: the daemon's, without its own variables and the sources of secrets."""
    kept = {
        name: value
        for name, value in without_own(environ).items()
        if name not in config.secret_names and not name.startswith(_PRIVATE)
    }
    return {**kept, OFFSPRING_VARIABLE: str(os.getpid())}


def load_message(
    config: Config, key: TemplateKey, queues: Iterable[Queue], environ: Mapping[str, str], *, preload: bool
) -> Load:
    """Return the first message of a template that serves these queues.

    Raises:
        InputError: a secret of `env` cannot be read.
    """
    members = list(queues)
    names = {"app": config.app.name, "host": socket.gethostname()}
    env = {
        name: fill(value, names) if isinstance(value, str) else read_secret(value, env=environ)
        for name, value in key.env
        if not (isinstance(value, str) and is_of_worker(value))
    }
    handlers = list(dict.fromkeys(use for queue in members for use in uses_of(queue)))
    extras = list(dict.fromkeys(path for queue in members for path in extras_of(queue)))
    return Load(
        version=__version__,
        layout=board.LAYOUT,
        path=list(key.path),
        env=env,
        handlers=handlers if preload else [],
        extras=extras if preload else [],
        redis=RedisTarget(config.redis.url or EMBEDDED_URL, config.redis.prefix),
    )


def redis_target(source: RedisSource) -> RedisTarget:
    """Return the Redis of a worker; it reaches it over its socket, never by arguments or environment."""
    return RedisTarget(source.url, source.prefix, source.username, source.password)


def numbers_of(queue: Queue) -> Numbers:
    """Return what a running worker takes over in place."""
    limit = queue.rate_limit
    return Numbers(
        concurrency=queue.concurrency,
        lock_ms=queue.lock_duration_ms,
        keep_completed=queue.keep_completed,
        keep_failed=queue.keep_failed,
        limiter_max=limit.max if limit else None,
        limiter_duration_ms=limit.duration_ms if limit else None,
        unknown="fail" if queue.unknown.value == "fail" else "retry",
        default=_handler(queue, None) if queue.handler else None,
        jobs={name: _handler(queue, job) for name, job in queue.jobs.items()},
        attempts=queue.attempts,
        attempts_max=queue.attempts_max,
        backoff=queue.backoff.rule() if queue.backoff else None,
        per_key=KeyLimit(queue.per_key.key, queue.per_key.concurrency) if queue.per_key else None,
        batch_max=queue.batch.max if queue.batch else None,
        batch_wait_ms=queue.batch.wait_ms if queue.batch else 0,
        dead_letter=queue.dead_letters_to,
        log_output_bytes=queue.job_log_output_bytes,
    )


def start_message(
    queue: Queue,
    numbers: Numbers,
    *,
    worker: str,
    incarnation: str,
    host: str,
    redis: RedisTarget,
    app: str = "jobd",
    tell_failures: bool = False,
) -> Start:
    """Return the first message of a worker. `worker` is `<pool>.<place from 1>.<serial>`."""
    number = int(worker.split(".")[1]) - 1
    names = {"worker": str(number), "queue": queue.name, "app": app, "host": host}
    return Start(
        worker=worker,
        name=f"{host}:{queue.name}",
        queue=queue.name,
        token_prefix=f"{incarnation}:{worker}:",
        redis=redis,
        numbers=numbers,
        setup=queue.setup,
        teardown=queue.teardown,
        wrap=list(queue.wrap),
        nice=queue.nice,
        on_failed=queue.on_failed,
        loop=queue.loop.value,
        tell_failures=tell_failures,
        env={
            name: fill(value, names)
            for name, value in queue.env.items()
            if isinstance(value, str) and is_of_worker(value)
        },
    )


def _handler(queue: Queue, job: JobHandler | None) -> HandlerSpec:
    own_timeout = job.timeout_ms if job else None
    own_attempts = job.attempts if job else None
    backoff = (job.backoff if job else None) or queue.backoff
    return HandlerSpec(
        path=job.handler if job else str(queue.handler),
        mode=queue.mode.value if queue.mode else None,
        timeout_ms=own_timeout or queue.timeout_ms,
        kill_after_ms=queue.kill_after_ms,
        expire_ms=queue.expire_ms,
        attempts=own_attempts or queue.attempts,
        attempts_max=queue.attempts_max,
        backoff=backoff.rule() if backoff else None,
    )
