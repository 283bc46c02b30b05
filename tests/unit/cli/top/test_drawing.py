"""Nothing that a producer or a handler named moves the cursor of the terminal that `top` draws on."""

from __future__ import annotations

import pytest

from jobd.cli.top import drawing
from tests.unit.cli.top.test_top import job, queue

EVIL = "a\x1b[2J\x9b1m\x07b"


def cells() -> dict[str, list[str]]:
    row = queue(EVIL, note=EVIL)
    worker = {**row["workers"][0], "queue": EVIL, "jobs": [{"id": EVIL, "name": EVIL, "running_s": 1.0}]}
    reason = {**job(EVIL, "failed"), "name": EVIL, "failed_reason": EVIL}
    return {
        "queue": drawing.queue_cells(row, None, 10),  # type: ignore[arg-type]
        "worker": drawing.worker_cells(worker),  # type: ignore[arg-type]
        "worker that waits": drawing.worker_cells({**worker, "why": EVIL}),  # type: ignore[arg-type]
        "job": drawing.job_cells(reason),
    }


@pytest.mark.parametrize("what", ["queue", "worker", "worker that waits", "job"])
def test_escapes_are_shown_and_not_sent(what: str) -> None:
    shown = cells()[what]
    assert [cell for cell in shown if not cell.isprintable()] == []
    assert any("a\\x1b[2J" in cell for cell in shown)
