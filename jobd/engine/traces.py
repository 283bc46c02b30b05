"""Traces by OpenTelemetry: whether anybody traces here, and how a trace travels with a job.

Nothing of OpenTelemetry is imported that the application has not imported: without a tracer provider, which only its
own code sets, no span could go anywhere. A trace travels as BullMQ's own telemetry does, in the job's option `tm`: a
JSON object of what the propagator writes (`{"traceparent": "00-…"}`), so bullmq-otel reads ours and we read its.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from jobd.engine.new_job import NewJob

SYSTEM = "bullmq"
"""`messaging.system` of every span: what brokers the messages is BullMQ's layout in Redis, whoever writes it."""

_found: Tracer | None = None


def tracer() -> Tracer | None:
    """Return the tracer of jobd's spans, None where nobody traces: no tracer provider is set in this process."""
    global _found  # noqa: PLW0603 - a provider can be set once in a process
    if _found is None and "opentelemetry.trace" in sys.modules:
        from opentelemetry import trace

        provider = trace.get_tracer_provider()
        # The provider of the API itself stands in until one is set: its spans go nowhere.
        if not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
            from jobd import __version__

            _found = provider.get_tracer("jobd", __version__)
    return _found


def inject(jobs: Iterable[NewJob]) -> None:
    """Write the current trace into the options of each job, except those that ask for none (`omit_context`)."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if not carrier:
        return
    text = json.dumps(carrier, separators=(",", ":"))
    for job in jobs:
        if "omc" not in job.opts:
            # A new table: jobs without options share one.
            job.opts = {"tm": text, **job.opts}


def extract(opts: Any) -> Context:
    """Return the context of whoever added a job with these options (`opts` as stored); one without a span if none.

    Whatever cannot be read counts as none: a foreign hand may have written it.
    """
    from opentelemetry import propagate, trace

    nothing = trace.set_span_in_context(trace.INVALID_SPAN)
    text = opts.get("tm") if isinstance(opts, dict) and not opts.get("omc") else None
    if not isinstance(text, str):
        return nothing
    try:
        carrier = json.loads(text)
    except (ValueError, RecursionError):
        return nothing
    if not isinstance(carrier, dict):
        return nothing
    return propagate.extract({key: value for key, value in carrier.items() if isinstance(value, str)}, nothing)
