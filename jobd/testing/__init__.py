"""Try handlers and producers in tests: no Redis, no daemon, and the worker's own binding, wraps, limits and outcomes.

from jobd.testing import FakeQueue, run

def test_welcome() -> None:
    done = run("shop.mail:send", {"userId": 7}, name="welcome")
    assert (done.outcome, done.result) == ("completed", {"sent": 7})

def test_signing_up_greets() -> None:
    with FakeQueue.patch() as added:
        sign_up("ada")
        assert [job.name for job in added["email"]] == ["welcome"]
        assert [done.outcome for done in added.drain()] == ["completed"]

pytest finds the fixtures `jobd_run`, `jobd_queues` and `jobd_daemon` by itself (jobd.testing.plugin).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.lazy import lazy_names

if TYPE_CHECKING:
    from jobd.testing.fake_queue import FakeQueue
    from jobd.testing.real_daemon import RealDaemon
    from jobd.testing.running import Done, run, run_batch
    from jobd.worker.run.single_attempt import Added

_HOMES = {
    "Added": "jobd.worker.run.single_attempt",
    "Done": "jobd.testing.running",
    "FakeQueue": "jobd.testing.fake_queue",
    "RealDaemon": "jobd.testing.real_daemon",
    "run": "jobd.testing.running",
    "run_batch": "jobd.testing.running",
}
"""Loaded when first used: the pytest plugin lies here, and every test run of the application loads that."""

__all__ = ["Added", "Done", "FakeQueue", "RealDaemon", "run", "run_batch"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
