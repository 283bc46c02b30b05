"""The span of each attempt: where it hangs, what it says, and that the handler's own go below it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from jobd.protocol.counts import ENDS
from jobd.protocol.worker import Cancel
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.run.single_attempt import SingleAttempt, taken_of
from tests.support.tracing import Spans, told, traced
from tests.unit.worker.run import handlers
from tests.unit.worker.run.bench import Bench, numbers, taken
from tests.unit.worker.run.test_single_attempt import Notes

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OPTS = {"tm": json.dumps({"traceparent": f"00-{TRACE}-{SPAN}-01"}), "attempts": 1}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    with traced(monkeypatch) as spans:
        yield spans


def run(handler: str, *jobs: dict[str, Any], now_ms: int | None = None, **more: Any) -> None:
    wanted = numbers(handler, **more)
    alone = SingleAttempt(wanted, JobPolicies(wanted, []), "mail", Notes())
    batch = [
        (taken_of("n", {"id": str(number), "data": 1, **job}), Notes()) for number, job in enumerate(jobs or ({},))
    ]
    alone.run_batch(batch, now_ms=now_ms)


def parent_of(span: ReadableSpan) -> tuple[str, str] | None:
    return span.parent and (trace.format_trace_id(span.parent.trace_id), trace.format_span_id(span.parent.span_id))


@pytest.mark.parametrize(
    ("handler", "mode"), [("traced", "thread"), ("traced", "process"), ("atraced", "async")]
)  # fmt: skip
def test_an_attempt_is_a_consumer_span_below_the_producer_s(spans: Spans, handler: str, mode: str) -> None:
    run(handler, {"id": "7", "opts": OPTS}, mode=mode)
    (span,) = spans.of("process mail")
    assert (span.kind, parent_of(span)) == (SpanKind.CONSUMER, (TRACE, SPAN))
    assert told(span, "messaging.system", "messaging.destination.name", "messaging.operation.type") == (
        "bullmq", "mail", "process",
    )  # fmt: skip
    assert told(span, "messaging.message.id", "jobd.job.name", "jobd.job.attempt", "jobd.outcome") == (
        "7", "n", 1, "completed",
    )  # fmt: skip
    (inside,) = spans.of("inside")
    assert inside.parent == span.get_span_context()
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    "opts",
    [
        {}, {"omc": True, **OPTS}, {"tm": "no json"}, {"tm": "[1]"}, {"tm": 7}, {"tm": '{"traceparent":"00-zz"}'},
        {"tm": '{"traceparent":7}'},
    ],
)  # fmt: skip
def test_without_a_readable_context_it_begins_a_trace(spans: Spans, opts: dict[str, Any]) -> None:
    run("echo", {"opts": opts})
    (span,) = spans.of("process mail")
    assert span.parent is None


@pytest.mark.parametrize(
    ("handler", "opts", "outcome", "error"),
    [
        ("fail", {}, "failed", "no luck"),
        ("fail", {"attempts": 2}, "retried", "no luck"),
        ("later", {}, "retried", None),
        ("give_up", {}, "failed", "never"),
    ],
)
def test_how_it_ended(spans: Spans, handler: str, opts: dict[str, Any], outcome: str, error: str | None) -> None:
    run(handler, {"opts": opts})
    (span,) = spans.of("process mail")
    assert told(span, "jobd.outcome") == (outcome,)
    assert span.status.description == error
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)
    assert [event.name for event in span.events] == (["exception"] if error else [])
    assert (told(span, "error.type") == (None,)) == (error is None)


def test_a_job_that_came_too_late_has_a_span_though_its_handler_did_not_run(spans: Spans) -> None:
    run("traced", {"opts": OPTS, "timestamp": 1_000}, expire_ms=500, now_ms=2_000)
    (span,) = spans.all()
    assert (told(span, "jobd.outcome"), parent_of(span), span.status.description) == (
        ("expired",), (TRACE, SPAN), "expired",
    )  # fmt: skip
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("handler", ["wait", "await_long"])
@pytest.mark.parametrize(
    ("how", "outcome", "error"),
    [
        ("timeout", "timed_out", "timed out after 30ms"),
        ("cancel", "cancelled", "cancelled"),
        ("stop", "handed_back", None),
    ],
)
def test_an_interrupted_attempt_tells_how_in_the_metrics_word(
    spans: Spans, handler: str, how: str, outcome: str, error: str | None
) -> None:
    handlers.gate.clear()

    async def scene() -> Bench:
        bench = Bench(handler, attempts=1, **({"timeout_ms": 30, "kill_after_ms": 5_000} if how == "timeout" else {}))
        bench.start(taken())
        await bench.until(lambda: bench.board.shown)
        if how == "cancel":
            bench.slots.cancel(Cancel(*bench.slots.running, "1", 1, "cancelled"))
        elif how == "stop":
            bench.slots.interrupt_all()
        await bench.until(lambda: not bench.slots.running)
        return bench

    (runs,) = asyncio.run(scene()).board.counted.runs().values()
    (span,) = spans.of("process q")
    assert told(span, "jobd.outcome") == (outcome,)
    assert (span.status.status_code is StatusCode.ERROR, span.status.description) == (error is not None, error)
    assert {end.value for end, count in zip(ENDS, runs.ends, strict=True) if count} == {outcome}


@pytest.mark.parametrize("handler", ["traced_batch", "atraced_batch"])
def test_jobs_of_a_batch_have_their_own_spans_and_one_of_the_call_that_links_to_them(
    spans: Spans, handler: str
) -> None:
    run(handler, {"opts": OPTS}, {}, {"data": "bad"}, batch_max=3)
    call = next(span for span in spans.of("process mail") if told(span, "messaging.batch.message_count") == (3,))
    runs = [span for span in spans.of("process mail") if span is not call]
    assert {link.context.span_id for link in call.links} == {span.get_span_context().span_id for span in runs}
    assert {told(span, "messaging.message.id", "jobd.outcome") for span in runs} == {
        ("0", "completed"), ("1", "completed"), ("2", "failed"),
    }  # fmt: skip
    assert sorted((parent_of(span) or ("",))[0] for span in runs) == ["", "", TRACE]
    (inside,) = spans.of("inside")
    assert inside.parent == call.get_span_context()


def test_nothing_is_kept_for_a_span_where_nobody_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobd.worker.run import slots

    monkeypatch.setattr(slots, "RunSpan", lambda *_: pytest.fail("a span was made"))
    run("echo")
