"""OpenTelemetry over OTLP: started in each worker after the fork, flushed at its end; a producer calls the same two."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider: TracerProvider | None = None


def setup() -> None:
    """Start it here and not at import: the thread that sends spans would not survive the fork.

    Where to send them, the service's name and the sampling are OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and
    OTEL_TRACES_SAMPLER, as in every OpenTelemetry application.
    """
    global provider  # noqa: PLW0603
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def teardown() -> None:
    """Send what is left."""
    if provider is not None:
        provider.shutdown()
