"""The consumer's spans: one for each attempt, below the producer's, current while the handler runs.

Names and attributes are those of OpenTelemetry's semantic conventions for messaging; `jobd.outcome` has the words of
the metric jobd_jobs_total.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.engine.states import Outcome
from jobd.engine.traces import SYSTEM, extract
from jobd.errors import RetryLater, WaitForChildren
from jobd.worker.run.wording import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from jobd.engine.job import Finish
    from jobd.protocol.counts import RunEnd
    from jobd.worker.handlers.job import Job


class RunSpan:
    """The span of one attempt."""

    __slots__ = ("_job", "span", "tracer")

    def __init__(self, tracer: Tracer, job: Job) -> None:
        self.tracer = tracer
        self._job = job
        self.span: Span | None = None

    def begin(self) -> None:
        """The handler starts, in this context: its own spans and what it adds go below this one."""
        parent = extract(self._job.opts)
        self.span = self._start(parent)
        _attach(self.span, parent)

    def raised(self, error: BaseException) -> None:
        """Note what the handler raised; what only asks for a later run is no error."""
        if self.span is not None and not isinstance(error, RetryLater | WaitForChildren):
            self.span.record_exception(error)
            self.span.set_attribute("error.type", type(error).__qualname__)

    def end(self, outcome: RunEnd, finish: Finish | None) -> None:
        """The attempt is over, also one whose handler was not run."""
        span = self.span or self._start(extract(self._job.opts))
        span.set_attribute("jobd.outcome", outcome.value)
        if finish is not None and finish.outcome in (Outcome.FAILED, Outcome.RETRY):
            _fail(span, finish.value.decode(errors="replace"))
        span.end()

    def _start(self, parent: Context) -> Span:
        from opentelemetry.trace import SpanKind

        job = self._job
        attributes = {
            **_place(job.queue), "messaging.message.id": job.id,
            "jobd.job.name": job.name, "jobd.job.attempt": job.attempt, "jobd.job.attempts": job.attempts,
            "jobd.worker": job.worker,
        }  # fmt: skip
        return self.tracer.start_span(f"process {job.queue}", parent, kind=SpanKind.CONSUMER, attributes=attributes)


class CallSpan:
    """The span of one call with several jobs; each of them has its own, which it links to.

    It begins when it is made, in this context: below it goes what the handler does for all of them.
    """

    def __init__(self, queue: str, runs: Sequence[RunSpan]) -> None:
        from opentelemetry import trace

        links = [trace.Link(run.span.get_span_context()) for run in runs if run.span is not None]
        attributes = {**_place(queue), "messaging.batch.message_count": len(links)}
        nothing = extract(None)
        self._span = runs[0].tracer.start_span(
            f"process {queue}", nothing, kind=trace.SpanKind.CONSUMER, attributes=attributes, links=links
        )
        _attach(self._span, nothing)

    def end(self, error: BaseException | None) -> None:
        """The call is over; `error` is what it raised."""
        if error is not None:
            self._span.record_exception(error)
            self._span.set_attribute("error.type", type(error).__qualname__)
            _fail(self._span, reason_of(error))
        self._span.end()


def _place(queue: str) -> dict[str, Any]:
    return {
        "messaging.system": SYSTEM, "messaging.destination.name": queue,
        "messaging.operation.type": "process", "messaging.operation.name": "process",
    }  # fmt: skip


def _attach(span: Span, parent: Context) -> None:
    from opentelemetry import context, trace

    # Never detached: a task and a thread's run have a context of their own, which ends with them.
    context.attach(trace.set_span_in_context(span, parent))


def _fail(span: Span, reason: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, reason))
