"""`jobd schema jobs` and `jobd check --waiting`: what handlers take, and which waiting jobs they would refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import main
from jobd.client import Queue
from tests.support.redis_server import RedisServer

_HANDLERS = """
from __future__ import annotations
from dataclasses import dataclass
from pydantic import BaseModel

print("an application that prints while it is imported")

class Address(BaseModel):
    street: str

class Order(BaseModel):
    to: Address
    parent: Order | None = None

@dataclass
class Welcome:
    userId: int

def welcome(data: Welcome): ...
def order(job, data: Order): ...
def members(*, userId: int, lang: str = "en"): ...
def untyped(job): ...
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fits_handlers.py").write_text(_HANDLERS)
    (tmp_path / "jobd.toml").write_text(
        f'[redis]\nurl = "{redis_server.url}"\nprefix = "{prefix}"\n[defaults]\nkeep_completed = 9\nkeep_failed = 9\n'
        '[queues.email.jobs]\nwelcome = "fits_handlers:welcome"\nmembers = "fits_handlers:members"\n'
        'untyped = "fits_handlers:untyped"\n[queues.orders]\nhandler = "fits_handlers:order"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBD_SOCKET", str(tmp_path / "no.sock"))
    return tmp_path


def test_the_schema_of_every_typed_handler(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "jobs"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    email, orders = found["properties"]["email"], found["properties"]["orders"]
    assert set(email["properties"]) == {"welcome", "members"}
    assert email["additionalProperties"] is False
    assert email["properties"]["members"]["required"] == ["userId"]
    assert orders["additionalProperties"] == {"$ref": "#/$defs/Order"}
    assert set(found["$defs"]) == {"Address", "Order"}
    assert "fits_handlers:untyped (email untyped) says nothing about its data" in captured.err
    assert main(["schema", "jobs", "orders"]) == 0
    assert list(json.loads(capsys.readouterr().out)["properties"]) == ["orders"]
    assert main(["schema", "jobs", "order"]) == 1
    assert main(["schema", "config"]) == 0
    assert '"$schema"' in capsys.readouterr().out


def test_typescript_of_one_queue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "jobs", "email", "--ts"]) == 0
    text = capsys.readouterr().out
    assert "welcome: { userId: number }" in text
    assert "members: { userId: number; lang?: string }" in text
    assert "untyped" not in text


def test_a_handler_that_does_not_import_is_exit_78(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "fits_handlers.py").write_text("import nothing_like_it\n")
    assert main(["schema", "jobs"]) == 78
    assert "nothing_like_it" in capsys.readouterr().err


def test_waiting_jobs_that_do_not_fit_are_warned_of(
    redis_server: RedisServer, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Queue("email", url=redis_server.url, prefix=prefix) as queue:
        queue.add("welcome", {"userId": 7})
        queue.add("welcome", {"userId": "seven"}, delay="1h")
        queue.add("members", {"userId": 1, "colour": 2}, priority=3)
        queue.add("unheard-of", {})
        queue.add("untyped", [1])
        queue.add_many([("welcome", {})] * 7)
        before = queue.counts()
    assert main(["check"]) == 0
    assert "0 warnings" in capsys.readouterr().out
    assert main(["check", "--waiting"]) == 0
    out = capsys.readouterr().out
    assert 'waiting job 6 ("welcome" of email) does not fit: data does not fit: userId' in out
    assert 'waiting job 3 ("members" of email) does not fit: data does not fit: colour: unknown' in out
    assert 'waiting job 4 ("unheard-of" of email) does not fit: no handler for job name "unheard-of"' in out
    assert '3 more waiting jobs "welcome" of email do not fit' in out
    document = _json(["check", "--waiting", "--json"], capsys)
    assert document["waiting"]["jobs"] == 12
    assert {misfit["id"] for misfit in document["waiting"]["misfits"]} == {str(n) for n in (2, 3, 4, *range(6, 13))}
    with Queue("email", url=redis_server.url, prefix=prefix) as queue:
        assert queue.counts() == before


def test_a_batch_takes_the_data_of_one_job_each(
    home: Path, redis_server: RedisServer, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (home / "fits_handlers.py").open("a") as file:
        file.write("def many(items: list[Welcome]) -> list: ...\n")
    with (home / "jobd.toml").open("a") as file:
        file.write('[queues.many]\nhandler = "fits_handlers:many"\nbatch = { max = 4 }\n')
    assert main(["schema", "jobs", "many", "--ts"]) == 0
    assert "[name: string]: { userId: number }\n" in capsys.readouterr().out
    with Queue("many", url=redis_server.url, prefix=prefix) as queue:
        queue.add_many([("x", {"userId": 7}), ("x", {"userId": "seven"})])
    misfits = _json(["check", "--waiting", "--json"], capsys)["waiting"]["misfits"]
    assert [misfit["id"] for misfit in misfits] == ["2"]


def test_another_redis_is_looked_at(own_redis: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    with Queue("email", url=own_redis.url) as queue:
        queue.add("welcome", {"userId": "seven"})
    document = _json(["check", "--redis", own_redis.url, "--json"], capsys)
    assert [misfit["id"] for misfit in document["waiting"]["misfits"]] == ["1"]


def test_no_redis_is_an_error_only_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = "unix:///nowhere/r.sock"
    assert main(["check", "--redis", nowhere]) == 0
    assert "were not looked at" in capsys.readouterr().err
    assert main(["check", "--waiting", "--redis", nowhere]) == 69


def _json(argv: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(argv) == 0
    return json.loads(capsys.readouterr().out)
