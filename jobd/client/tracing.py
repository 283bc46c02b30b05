"""The producer's spans: one for each add, add_many and add_flow, whose trace travels with the jobs.

Names and attributes are those of OpenTelemetry's semantic conventions for messaging.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from jobd.engine.traces import SYSTEM, inject, tracer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Tracer

    from jobd.engine.new_job import NewJob

_NOBODY: AbstractContextManager[Sent | None] = nullcontext()


def producing(operation: str, queue: str, jobs: Sequence[NewJob]) -> AbstractContextManager[Sent | None]:
    """Return what to be in while these jobs are written: a PRODUCER span, or nothing where nobody traces.

    Jobs are changed: their option `tm` gets the trace. The span is current inside, and fails with what is raised.

    Args:
        operation: "add", "add_many" or "add_flow".
        queue: where they go; the root's for a flow.
    """
    found = tracer()
    return _NOBODY if found is None else _span(found, operation, queue, jobs)


class Sent:
    """The span while the jobs are under way."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def added(self, job_id: str) -> None:
        """Redis has answered: the id of the one job."""
        self._span.set_attribute("messaging.message.id", job_id)


@contextmanager
def _span(found: Tracer, operation: str, queue: str, jobs: Sequence[NewJob]) -> Iterator[Sent]:
    from opentelemetry.trace import SpanKind

    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM, "messaging.destination.name": queue,
        "messaging.operation.type": "send", "messaging.operation.name": operation,
    }  # fmt: skip
    if operation == "add":
        attributes["jobd.job.name"] = jobs[0].name
    else:
        attributes["messaging.batch.message_count"] = len(jobs)
    with found.start_as_current_span(f"{operation} {queue}", kind=SpanKind.PRODUCER, attributes=attributes) as span:
        inject(jobs)
        try:
            yield Sent(span)
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            raise
