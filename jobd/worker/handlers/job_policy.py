"""Which handler runs a job, and what bounds an attempt: the queue's numbers with their functions."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jobd.engine.outcome_policy import Policy
from jobd.errors import HandlerError
from jobd.worker.handlers.lookup import Handler, handler_of, load_handler
from jobd.worker.handlers.wraps import Wrap, split_for_thread, wrap_async, wrap_sync

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobd.protocol.worker import HandlerSpec, Mode, Numbers
    from jobd.worker.handlers.job import Job
    from jobd.worker.handlers.on_failed import OnFailed

    Plain = Callable[[Job], Any]
    Awaited = Callable[[Job], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """How the jobs of one name are run. Times are seconds; None none."""

    mode: Mode
    call: Callable[[Any], Any]
    """Gets the job; with a batch the jobs of one call (batch_binding.Jobs)."""
    on_loop: Sequence[Wrap]
    """Wraps which only a coroutine can enter, around a `call` that runs in a thread; Slots joins the two."""
    outcome: Policy
    timeout_s: float | None
    kill_after_s: float | None
    expire_ms: int | None
    on_failed: OnFailed | None = None
    log_output_bytes: int | None = None
    """How much of what an attempt prints goes to its job's log; None: nothing."""
    entry: Callable[[Job], Any] | None = None
    """With a batch: what makes the handler's entry of a job; None the job itself."""


class JobPolicies:
    """The policies of one queue. `by_name` holds the names with a handler of their own, `default` everybody else's."""

    def __init__(self, numbers: Numbers, wraps: list[Wrap], on_failed: OnFailed | None = None) -> None:
        """Load every handler. Raises HandlerError for the first that cannot be."""

        def policy_of(spec: HandlerSpec) -> JobPolicy:
            handler = load_handler(spec.path, spec.mode, batch=numbers.batch_max is not None)
            return _job_policy(numbers, spec, handler, wraps, on_failed)

        self.nobody = JobPolicy("thread", _nobody, (), _policy(numbers, numbers), None, None, None, on_failed)
        self.by_name = {name: policy_of(spec) for name, spec in numbers.jobs.items()}
        self.default = policy_of(numbers.default) if numbers.default else None
        policies = [*self.by_name.values(), *([self.default] if self.default else [])]
        self.modes = frozenset(policy.mode for policy in policies)
        if "process" in self.modes and numbers.concurrency > 1:
            raise HandlerError("", "signature", 'mode "process" runs one job at a time: concurrency must be 1')

    @classmethod
    def for_function(
        cls, numbers: Numbers, spec: HandlerSpec, function: Callable[..., Any], wraps: list[Wrap],
        on_failed: OnFailed | None,
    ) -> JobPolicies:  # fmt: skip
        """Return policies that give every job to this function. Raises HandlerError."""
        made = cls(replace(numbers, default=None, jobs={}), wraps, on_failed)
        handler = handler_of(function, spec.path, spec.mode, batch=numbers.batch_max is not None)
        made.default = _job_policy(numbers, spec, handler, wraps, on_failed)
        return made

    def inside_coroutines(self, awaited: Callable[[Plain], Awaited]) -> JobPolicies:
        """Return these policies with each plain call inside wraps of the loop made a coroutine by `awaited`."""
        joined = copy(self)
        joined.by_name = {name: _joined(policy, awaited) for name, policy in self.by_name.items()}
        joined.default = _joined(self.default, awaited) if self.default else None
        return joined

    def of(self, name: str) -> JobPolicy | None:
        """Return the policy of a job's name, None when nobody handles it."""
        return self.by_name.get(name) or self.default


def _joined(policy: JobPolicy, awaited: Callable[[Plain], Awaited]) -> JobPolicy:
    if not policy.on_loop:
        return policy
    call = wrap_async(awaited(policy.call), policy.on_loop)
    return replace(policy, mode="async", call=call, on_loop=())


def _job_policy(
    numbers: Numbers, spec: HandlerSpec, handler: Handler, wraps: list[Wrap], on_failed: OnFailed | None
) -> JobPolicy:
    call, on_loop = _wrapped(handler, wraps)
    return JobPolicy(
        handler.mode,
        call,
        on_loop,
        _policy(numbers, spec),
        spec.timeout_ms / 1000 if spec.timeout_ms else None,
        None if spec.kill_after_ms is None else spec.kill_after_ms / 1000,
        spec.expire_ms,
        on_failed,
        numbers.log_output_bytes,
        handler.entry,
    )


def _wrapped(handler: Handler, wraps: list[Wrap]) -> tuple[Callable[[Job], Any], Sequence[Wrap]]:
    if handler.mode == "async":
        return wrap_async(handler.call, wraps), ()
    on_loop, in_thread = split_for_thread(wraps)
    return wrap_sync(handler.call, in_thread), on_loop


def _policy(numbers: Numbers, spec: HandlerSpec | Numbers) -> Policy:
    return Policy(
        attempts=spec.attempts,
        attempts_max=spec.attempts_max,
        backoff=spec.backoff,
        keep_completed=numbers.keep_completed,
        keep_failed=numbers.keep_failed,
        dead_letter=numbers.dead_letter,
    )


def _nobody(job: Job) -> Any:
    raise LookupError(job.name)
