"""`tm` and `omc`, the traces' words in a job's options, go through every hand unchanged."""

from __future__ import annotations

from tests.interop.with_workers import FAILS, FLAKY, add, does, worked
from tests.interop.with_workers.deduplication import MODES
from tests.interop.with_workers.flows import flow, node, ran
from tests.interop.with_workers.order import beside

COMPAT = "telemetry metadata is carried through"
TRACE = {"metadata": '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}', "omitContext": True}
SILENT = {"omitContext": True}
METADATA = {"metadata": 'not JSON: ü/"{'}

ROWS = {
    **{
        f"{name}, {how}": worked(add(data, telemetry=telemetry, **opts))
        for name, telemetry in (("both", TRACE), ("omitContext", SILENT), ("metadata", METADATA))
        for how, data, opts in (
            ("completes", 1, {}), ("fails", FAILS, {}), ("is retried", FLAKY, {"attempts": 2}),
            ("is retried later", FLAKY, {"attempts": 2, "backoff": 20}), ("is delayed", 1, {"delay": 20}),
            ("is put off", does([["later", 20]], [["return", 1]]), {}),
        )
    },
    "retried by hand": [*worked(add(FLAKY, jobId="a", telemetry=TRACE)), ["retry", "q", "a"], ["idle", "q"]],
    "promoted": [add(1, jobId="a", delay=60_000, telemetry=TRACE), ["promote", "q", "a"], *worked()],
    "changed": [
        add(1, jobId="a", priority=3, telemetry=TRACE), ["data", "q", "a", {"b": 1}],
        ["priority", "q", "a", {"priority": 1}], *worked(),
    ],
    "a flow": ran(flow(node(1, jobId="C1", telemetry=TRACE), node(FAILS, jobId="C2", telemetry=METADATA,
                                                               ignoreDependencyOnFailure=True), telemetry=SILENT)),
    "kept as the last": beside(
        add(2, deduplication=MODES["keepLastIfActive"], telemetry=TRACE), deduplication=MODES["keepLastIfActive"],
    ),
    "replaced": worked(
        add(1, delay=40, deduplication=MODES["replace"], telemetry=METADATA),
        add(2, delay=40, deduplication=MODES["replace"], telemetry=TRACE),
    ),
}  # fmt: skip
