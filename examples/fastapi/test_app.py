"""The application without Redis: what it adds goes to memory, and `drain` runs the handlers of jobd.toml."""

from __future__ import annotations

from fastapi.testclient import TestClient
from shop.app import app

from jobd.testing import FakeQueue


def test_signing_up_greets_once(jobd_queues: FakeQueue) -> None:
    with TestClient(app) as web:
        assert web.post("/users", json={"user_id": 7}).json() == {"job": "welcome-7"}
        assert web.post("/users", json={"user_id": 7}).status_code == 202
        assert [job.data for job in jobd_queues["email"]] == [{"userId": 7}]
        assert [done.result for done in jobd_queues.drain()] == [{"welcomed": 7}]
        assert web.get("/jobs/welcome-7").json() == {"state": "completed", "result": {"welcomed": 7}}
        assert web.get("/jobs/welcome-8").status_code == 404
