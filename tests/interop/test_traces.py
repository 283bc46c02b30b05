"""One trace over a Node service that uses bullmq-otel and jobd's workers, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_process import DaemonProcess
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.node

SERVICE = Path(__file__).with_name("traced.cjs")
QUEUES = """
[queues.mail]
handler = "traced:inner"
jobs = { answered = "traced:answered", async = "traced:awaited", flaky = "traced:flaky" }
concurrency = 2
"""


@pytest.fixture(scope="module")
def spans(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    """What both sides traced: `node` and `python`, each span with name, kind, trace, id, parent, job."""
    folder, prefix = tmp_path_factory.mktemp("traces"), "traced"
    head = 'setup = "traced:setup"\nteardown = "traced:teardown"'
    daemon = DaemonProcess(
        folder, redis_server.url, QUEUES, prefix=prefix, head=head, env={"SPANS": str(folder)}
    )  # fmt: skip
    with daemon, start_node(SERVICE, str(redis_server.port), prefix) as service:
        try:
            daemon.start_ready()
            with redis_server.client() as r:
                wait_until(lambda: r.zcard(f"{prefix}:mail:completed") == 5, 30, what="five jobs are done")
            printed, errors = service.communicate("2\n", timeout=60)
            assert service.returncode == 0, errors
            assert daemon.stop() == 0
        finally:
            service.kill()
        python = [_as_node(span) for path in folder.glob("*.json") for span in json.loads(path.read_text())]
        yield {"node": json.loads(printed), "python": python}


def _as_node(span: dict[str, Any]) -> dict[str, Any]:
    attributes = span["attributes"]
    return {
        "name": span["name"], "kind": span["kind"].removeprefix("SpanKind."),
        "trace": span["context"]["trace_id"].removeprefix("0x"), "id": span["context"]["span_id"].removeprefix("0x"),
        "parent": (span["parent_id"] or "").removeprefix("0x") or None, "job": attributes.get("jobd.job.name"),
        "outcome": attributes.get("jobd.outcome"), "attributes": attributes, "events": span["events"],
    }  # fmt: skip


def one(spans: list[Any], **wanted: Any) -> Any:
    (found,) = (span for span in spans if all(span[key] == value for key, value in wanted.items()))
    return found


@pytest.mark.compat("telemetry: bullmq-otel, OpenTelemetry", "BullMQ adds, jobd runs")
def test_a_job_that_node_adds_runs_in_the_trace_of_its_request(spans: dict[str, list[Any]]) -> None:
    request, node, python = one(spans["node"], name="request"), spans["node"], spans["python"]
    run = one(python, job="answered", kind="CONSUMER")
    assert (run["name"], run["trace"]) == ("process mail", request["trace"])
    assert run["parent"] == one(node, job="answered", kind="PRODUCER")["id"]
    assert one(python, name="inside answered")["parent"] == run["id"]
    assert run["outcome"] == "completed"


def test_jobs_of_one_bulk_share_its_span_as_their_parent(spans: dict[str, list[Any]]) -> None:
    bulk = one(spans["node"], name="addBulk mail")
    runs = [one(spans["python"], job=job, kind="CONSUMER") for job in ("plain", "async")]
    assert [run["parent"] for run in runs] == [bulk["id"], bulk["id"]]
    assert one(spans["python"], name="inside async")["parent"] == runs[1]["id"]


def test_a_retry_is_a_span_of_its_own_below_the_same_parent(spans: dict[str, list[Any]]) -> None:
    added = one(spans["node"], job="flaky", kind="PRODUCER")
    first, second = sorted(
        (span for span in spans["python"] if span["job"] == "flaky"),
        key=lambda span: span["attributes"]["jobd.job.attempt"],
    )
    assert (first["parent"], second["parent"]) == (added["id"], added["id"])
    assert (first["outcome"], second["outcome"]) == ("retried", "completed")
    (event,) = first["events"]
    assert event["attributes"]["exception.message"] == "no luck yet"


def test_omitted_context_begins_a_trace_of_its_own(spans: dict[str, list[Any]]) -> None:
    run = one(spans["python"], job="apart", kind="CONSUMER")
    assert run["parent"] is None
    assert run["trace"] != one(spans["node"], name="request")["trace"]


@pytest.mark.compat("telemetry: bullmq-otel, OpenTelemetry", "jobd adds, BullMQ runs")
def test_what_a_handler_adds_runs_in_node_below_the_handler_s_span(spans: dict[str, list[Any]]) -> None:
    for job in ("answered", "async"):
        run = one(spans["python"], job=job, kind="CONSUMER")
        added = one(spans["python"], parent=run["id"], kind="PRODUCER")
        assert (added["name"], added["job"]) == ("add back", "thanks")
        theirs = one(spans["node"], kind="CONSUMER", parent=added["id"])
        assert theirs["trace"] == one(spans["node"], name="request")["trace"]
