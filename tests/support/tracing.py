"""A tracer whose spans stay in memory, for tests in this process: the global provider can be set only once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobd.engine import traces


class Spans:
    """What was traced so far."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")

    def all(self) -> list[ReadableSpan]:
        """The spans that ended, in that order."""
        return list(self._exporter.get_finished_spans())

    def of(self, name: str) -> list[ReadableSpan]:
        """Those of one name."""
        return [span for span in self.all() if span.name == name]


@contextmanager
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Trace what jobd does in this process."""
    spans = Spans()
    monkeypatch.setattr(traces, "_found", spans.tracer)
    yield spans
    monkeypatch.undo()


def told(span: ReadableSpan, *names: str) -> tuple[Any, ...]:
    """Return attributes of a span."""
    attributes = span.attributes or {}
    return tuple(attributes.get(name) for name in names)
