"""One attempt of one job in this process, with the environment, `setup` and `wrap` of its queue."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobd.cli.output import warn
from jobd.daemon.processes.worker_spec import child_environment, numbers_of
from jobd.engine.job import Taken
from jobd.engine.outcome_policy import read_opts
from jobd.errors import ConfigError, InputError
from jobd.locate import Secret, read_secret
from jobd.worker.handlers.job import Job
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.handlers.lookup import load_object
from jobd.worker.handlers.payload import to_json
from jobd.worker.handlers.wraps import load_wraps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.config.model import Config, Queue


class _Stderr:
    """Where the notes of the job go."""

    stopping = False

    def progressed(self, job: Job, value: bytes) -> None:
        del job
        warn(f"progress {value.decode()}")

    def logged(self, job: Job, line: str) -> None:
        del job
        warn(f"log {line}")

    def data_changed(self, job: Job, data: bytes) -> None:
        del job
        warn(f"data {data.decode()}")

    def add(self, queue: str, name: str, data: Any, options: Any) -> Any:
        del options
        warn(f"add {queue} {name} {to_json(data, 'data').decode()}")


class Trial:
    """A job that is not in Redis: `prepare`, then `run`.

    `stored` holds what is known of a job document: at least `data`.
    """

    def __init__(self, config: Config, queue: Queue, name: str, stored: Mapping[str, Any]) -> None:
        self._config = config
        self._queue = queue
        self._name = name
        self._taken = _taken(name, stored)

    def prepare(self) -> None:
        """Make this process what a worker of the queue would be, and load the handler.

        Raises:
            HandlerError: the handler or a wrap cannot be loaded.
            ConfigError: a secret of `env` cannot be read.
        """
        self._enter_environment()
        with _stdout_to_stderr():
            policies = self._job_policies()
        self._policy = policies.of(self._name) or policies.nobody

    def run(self) -> bytes:
        """Return the handler's result as JSON. Raises what the handler, setup or a wrap raises."""
        policy, queue = self._policy, self._queue
        with _stdout_to_stderr(), asyncio.Runner() as runner:
            job = Job(self._taken, queue.name, policy.outcome.attempts_of(read_opts(self._taken.opts)), _Stderr())
            _call(runner, queue.setup)
            try:
                result = policy.call(job)
                if policy.mode == "async":
                    result = runner.run(result)
                return to_json(result, "result")
            finally:
                _call(runner, queue.teardown)

    def _job_policies(self) -> JobPolicies:
        numbers = numbers_of(self._queue)
        own = {name: spec for name, spec in numbers.jobs.items() if name == self._name}
        return JobPolicies(
            replace(numbers, jobs=own, default=None if own else numbers.default), load_wraps(self._queue.wrap)
        )

    def _enter_environment(self) -> None:
        queue, before = self._queue, dict(os.environ)
        env = {name: self._read(name, value, before) for name, value in queue.env.items()}
        for name in before.keys() - child_environment(self._config, before).keys():
            del os.environ[name]
        os.environ.update(env)
        sys.path[:0] = [str(folder) for folder in queue.path]
        if queue.working_dir:
            os.chdir(queue.working_dir)

    def _read(self, name: str, value: str | Secret, before: Mapping[str, str]) -> str:
        try:
            return read_secret(value, env=before)
        except InputError as error:
            text = str(self._config.problem_at(("queues", self._queue.name, "env", name), str(error)))
            raise ConfigError(text, [text]) from None


def _call(runner: asyncio.Runner, path: str | None) -> None:
    if path is None:
        return
    value = load_object(path)()
    if inspect.iscoroutine(value):
        runner.run(value)


def _taken(name: str, stored: Mapping[str, Any]) -> Taken:
    return Taken(
        id=str(stored.get("id") or "exec"), token="", name=name,
        data=to_json(stored["data"], "data"), opts=to_json(stored.get("opts") or {}, "opts"),
        timestamp=stored.get("timestamp") or int(time.time() * 1000), delay_ms=0,
        priority=stored.get("priority") or 0, attempts_made=stored.get("attempts_made") or 0,
        attempts_started=0, crashes=0, deduplication_id=None, parent_key=stored.get("parent_key"),
        scheduler_id=None, deferred_failure=None, stacktrace=None, suspect=False,
    )  # fmt: skip


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send what the handler and its children print to stderr: stdout is for the result alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
