"""One attempt of one job in this process, with the environment, `setup` and `wrap` of its queue."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobd.cli.output import warn
from jobd.config.env_values import fill
from jobd.daemon.processes.worker_spec import child_environment, numbers_of
from jobd.errors import ConfigError, InputError, JobdError
from jobd.locate import Secret, hand_down, read_secret, redis_source
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.handlers.lookup import load_callable, load_object
from jobd.worker.handlers.on_failed import load_on_failed
from jobd.worker.handlers.wraps import load_wraps
from jobd.worker.run.single_attempt import Around, SingleAttempt, added_of, taken_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.cli.child_process import Doing
    from jobd.config.model import Config, Queue
    from jobd.engine.new_job import NewJob
    from jobd.worker.run.single_attempt import Added, Ending


class _Stderr:
    """Tells what the handler writes; nothing of it goes to Redis."""

    def progressed(self, value: bytes) -> None:
        warn(f"progress {value.decode()}")

    def logged(self, line: str) -> None:
        warn(f"log {line}")

    def data_changed(self, data: bytes) -> None:
        warn(f"data {data.decode()}")

    def add(self, queue: str, new: NewJob) -> Added:
        warn(f"not added: queue {queue}, name {new.name}, data {new.data.decode()}")
        return added_of(queue, new)

    def children_values(self) -> dict[str, Any]:
        return {}

    def ignored_children_failures(self) -> dict[str, str]:
        return {}


class Trial:
    """A job that is run here: `prepare`, then `run`. `stored` is what is known of a job document: at least `data`."""

    def __init__(self, config: Config, queue: Queue, name: str, stored: Mapping[str, Any], doing: Doing) -> None:
        self._config = config
        self._queue = queue
        self._name = name
        self._stored = stored
        self._doing = doing

    def prepare(self) -> None:
        """Make this process what a worker of the queue would be, and load the handler.

        Raises:
            HandlerError: the handler, a wrap, setup or teardown cannot be loaded.
            ConfigError: a secret of `env` cannot be read.
        """
        self._enter_environment()
        queue = self._queue
        numbers = numbers_of(queue)
        own = {name: spec for name, spec in numbers.jobs.items() if name == self._name}
        numbers = replace(numbers, jobs=own, default=None if own else numbers.default)
        specs = [*own.values(), *([numbers.default] if numbers.default else [])]
        extras = [queue.setup, queue.teardown, *queue.wrap, queue.on_failed]
        with _stdout_to_stderr():
            for path in [*(spec.path for spec in specs), *filter(None, extras)]:
                self._doing.begins(path)
                load_object(path)
            self._doing.begins()
            setup, teardown = (load_callable(path) if path else None for path in (queue.setup, queue.teardown))
            policies = JobPolicies(numbers, load_wraps(queue.wrap), load_on_failed(queue.on_failed))
        # Whatever the job is or how old: the one who asks wants to see its handler run.
        self._alone = SingleAttempt(numbers, policies, queue.name, _Stderr(), Around(setup, teardown), refuses=False)

    def run(self) -> Ending:
        """Run it once; return how it ended. Raises what setup or teardown raises."""
        # What belongs to a flow is not known here, and a handler that asks for it is told so.
        taken = taken_of(self._name, {"id": "exec", **self._stored})
        with _stdout_to_stderr():
            return self._alone.run(taken)

    def run_batch(self, payloads: list[Any]) -> list[Ending]:
        """Run a batch of jobs with these data; return how each ended. Raises as `run`."""
        batch = [
            (taken_of(self._name, {"id": f"exec-{number}", "data": data}), self._alone.notes)
            for number, data in enumerate(payloads, 1)
        ]
        with _stdout_to_stderr():
            return self._alone.run_batch(batch)

    def _enter_environment(self) -> None:
        queue, before = self._queue, dict(os.environ)
        # As the first worker has it.
        names = {"worker": "0", "queue": queue.name, "app": self._config.app.name, "host": socket.gethostname()}
        env = {
            name: fill(value, names) if isinstance(value, str) else self._read(name, value, before)
            for name, value in queue.env.items()
        }
        for name in before.keys() - child_environment(self._config, before).keys():
            del os.environ[name]
        os.environ.update(env)
        sys.path[:0] = [str(folder) for folder in queue.path]
        self._hand_down_redis(before)
        if queue.working_dir:
            os.chdir(queue.working_dir)

    def _hand_down_redis(self, before: Mapping[str, str]) -> None:
        """Let clients in the handler find the Redis of this file, as in a worker; one that is not up is none."""
        try:
            source = self._config.redis_source(before) or redis_source(config=self._config.path, env=before)
        except JobdError:
            return
        hand_down(source)

    def _read(self, name: str, value: Secret, before: Mapping[str, str]) -> str:
        try:
            return read_secret(value, env=before)
        except InputError as error:
            text = str(self._config.problem_at(("queues", self._queue.name, "env", name), str(error)))
            raise ConfigError(text, [text]) from None


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
