"""The application without Redis: what it adds goes to memory, and `drain` runs the handlers of jobd.toml."""

from __future__ import annotations

from shop.app import create_app

from jobd.testing import FakeQueue


def test_signing_up_greets(jobd_queues: FakeQueue) -> None:
    web = create_app().test_client()
    assert web.post("/users", json={"userId": 7}).json == {"job": "welcome-7"}
    assert [job.data for job in jobd_queues["email"]] == [{"userId": 7}]
    assert [done.result for done in jobd_queues.drain()] == [{"welcomed": 7, "by": "shop.app"}]


def test_a_bad_id_is_the_callers_mistake(jobd_queues: FakeQueue) -> None:
    web = create_app().test_client()
    assert web.post("/users", json={"userId": "a:b"}).status_code == 400
    assert jobd_queues["email"] == []
