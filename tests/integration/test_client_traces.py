"""A producer's spans: one for each add, whose trace travels with the jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from jobd.client import AsyncQueue, Flow, Queue
from jobd.errors import NotThere
from tests.support.redis_server import RedisServer
from tests.support.tracing import Spans, told, traced

ADDED = ("messaging.system", "messaging.destination.name", "messaging.operation.type", "messaging.operation.name")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    with traced(monkeypatch) as spans:
        yield spans


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Queue]:
    with Queue("mail", url=redis_server.url, prefix=prefix) as queue:
        yield queue


def told_to(opts: dict[str, Any]) -> str:
    """The span that a job's options name as its producer's."""
    carrier = json.loads(opts["tm"])
    assert set(carrier) == {"traceparent"}
    version, trace_id, span_id, flags = carrier["traceparent"].split("-")
    assert (version, len(trace_id), int(flags, 16) & 1) == ("00", 32, 1)
    return str(span_id)


def opts_of(queue: Queue, job_id: str) -> dict[str, Any]:
    record = queue.get(job_id)
    assert record is not None
    return record.opts


def test_an_add_is_a_producer_span_that_its_job_carries(queue: Queue, spans: Spans) -> None:
    with spans.tracer.start_as_current_span("request") as request:
        job = queue.add("welcome", {"userId": 7}, attempts=3)
    span, _ = spans.all()
    assert (span.name, span.kind, span.parent) == ("add mail", SpanKind.PRODUCER, request.get_span_context())
    assert told(span, *ADDED) == ("bullmq", "mail", "send", "add")
    assert told(span, "messaging.message.id", "jobd.job.name") == (job.id, "welcome")
    opts = opts_of(queue, job.id)
    assert told_to(opts) == trace.format_span_id(span.get_span_context().span_id)
    assert opts["attempts"] == 3
    queue.add("plain")
    assert told_to(opts_of(queue, "2")) != told_to(opts)


def test_many_jobs_and_a_flow_share_one_span(queue: Queue, spans: Spans) -> None:
    many = queue.add_many([("a", {}), ("b", {}, {"priority": 2})])
    flow = queue.add_flow(Flow("page", children=[Flow("image", queue="images")]))
    first, second = spans.all()
    assert (first.name, told(first, "messaging.batch.message_count")) == ("add_many mail", (2,))
    assert (second.name, told(second, "messaging.batch.message_count")) == ("add_flow mail", (2,))
    assert {told_to(opts_of(queue, job.id)) for job in many} == {trace.format_span_id(first.context.span_id)}
    child = flow.children[0].job
    child_opts = child._queue.get(child.id).opts
    assert {told_to(opts_of(queue, flow.job.id)), told_to(child_opts)} == {trace.format_span_id(second.context.span_id)}


def test_a_job_that_omits_the_context_carries_none(queue: Queue, spans: Spans) -> None:
    job = queue.add("apart", omit_context=True)
    assert opts_of(queue, job.id) == {"omc": True, "attempts": 0}
    assert [span.name for span in spans.all()] == ["add mail"]


def test_a_refused_add_fails_its_span(queue: Queue, spans: Spans) -> None:
    with pytest.raises(NotThere):
        queue.add("child", parent={"id": "none", "queue": f"{queue.keys.prefix}:mail"})
    (span,) = spans.all()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span, "error.type") == ("NotThere",)


async def adds(url: str, prefix: str) -> None:
    async with AsyncQueue("mail", url=url, prefix=prefix) as queue:
        await queue.add("one")
        await queue.add_many([("two",), ("three",)])
        await queue.add_flow(Flow("four"))


def test_the_asyncio_client_traces_as_the_other(queue: Queue, redis_server: RedisServer, spans: Spans) -> None:
    import asyncio

    asyncio.run(adds(redis_server.url, queue.keys.prefix))
    assert [span.name for span in spans.all()] == ["add mail", "add_many mail", "add_flow mail"]
    assert told_to(opts_of(queue, "2")) == trace.format_span_id(spans.all()[1].context.span_id)


def test_where_nobody_traces_jobs_are_stored_as_ever(queue: Queue) -> None:
    job = queue.add("plain")
    assert opts_of(queue, job.id) == {"attempts": 0}
