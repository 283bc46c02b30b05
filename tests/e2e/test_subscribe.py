"""`subscribe`: what comes first, what comes then, and every way in which it ends."""

from __future__ import annotations

import grp
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jobd.protocol.control_client import ControlClient
from tests.support.daemon_process import DaemonProcess, Failed
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

Make = Callable[..., DaemonProcess]
OK = '[queues.a]\nhandler = "daemon_handlers:ok"\n'


class Subscription:
    """One connection that subscribes: `entries` so far, and the last line once it ended."""

    def __init__(self, path: Path, to: str, **params: Any) -> None:
        self.entries: list[dict[str, Any]] = []
        self.end: dict[str, Any] | None = None
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        request = {"jsonrpc": "2.0", "id": 9, "method": "subscribe", "params": {"to": to, "params": params}}
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self.sock.makefile("rb") as lines:
            for line in lines:
                told = json.loads(line)
                if told.get("method") == "progress":
                    assert told["params"]["id"] == 9
                    assert told["params"]["text"]
                    self.entries.append(told["params"]["entry"])
                else:
                    self.end = told
                    return

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self._reader.join(10)
        self.sock.close()


def add(daemon: DaemonProcess) -> str:
    return str(daemon.call("job.add", queue="a", name="x", data={})["job"]["id"])


def test_lines_and_events_come_first_as_remembered_then_as_they_happen(make: Make) -> None:
    daemon = make(OK)
    with (
        Subscription(daemon.socket, "logs") as logs,
        Subscription(daemon.socket, "logs", grep="quiet", level="info") as some,
        Subscription(daemon.socket, "events", queues=["a"], name="completed") as events,
    ):
        wait_until(lambda: any(line["event"] == "ready" for line in logs.entries), what="what is remembered")
        job = add(daemon)
        wait_until(lambda: [event["jobId"] for event in events.entries] == [job], what="the job's end is told")
        assert events.entries[0]["event"] == "completed"
        daemon.call("quiet")
        wait_until(lambda: some.entries, what="a line that fits")
        assert all("quiet" in json.dumps(line) for line in some.entries)
        assert (logs.end, events.end) == (None, None)


def test_a_daemon_that_stops_ends_it_and_is_not_held_up(make: Make) -> None:
    daemon = make(OK)
    with Subscription(daemon.socket, "logs") as logs, Subscription(daemon.socket, "events") as events:
        wait_until(lambda: logs.entries, what="it has begun")
        assert daemon.stop() == 0
        wait_until(lambda: logs.end and events.end, what="both are told of the end")
        assert logs.end is not None
        assert events.end is not None
        assert logs.end["result"] == {"schema": 1, "entries": len(logs.entries), "ended": "stopping"}
        assert events.end["result"]["ended"] == "stopping"


def test_so_many_and_no_more_and_a_reader_that_leaves_makes_room(make: Make) -> None:
    daemon = make(OK)
    with ExitStack() as all_of_them:
        for _ in range(64):
            all_of_them.enter_context(Subscription(daemon.socket, "logs"))
        with pytest.raises(Failed) as refused:
            wait_until(lambda: daemon.call("subscribe", to="logs", limit=1) is None, what="it is full")
        assert refused.value.error["data"]["code"] == "too-many-subscriptions"

    def room() -> bool:
        try:
            return bool(daemon.call("subscribe", to="logs", limit=2) == {"schema": 1, "entries": 2, "ended": "limit"})
        except Failed:
            return False

    wait_until(room, what="there is room again")


def test_what_cannot_be_followed_is_refused(make: Make) -> None:
    daemon = make(OK)
    for params in ({"to": "status"}, {"to": "logs", "params": {"limit": 3}}, {"to": "events", "params": {"nme": "x"}}):
        with pytest.raises(Failed) as refused:
            daemon.call("subscribe", **params)
        assert refused.value.error["code"] == -32602, params
    with pytest.raises(Failed) as unknown:
        daemon.call("subscribe", to="logs", params={"queue": "nosuch"})
    assert unknown.value.error["data"]["code"] == "queue-unknown"


def test_the_status_socket_has_events_and_no_logs(short_tmp: Path, redis_server: RedisServer, prefix: str) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    made = DaemonProcess(
        short_tmp / "d", redis_server.url, f'status_group = "{group}"\n{OK}', prefix=prefix
    )  # fmt: skip
    with made as daemon:
        daemon.start_ready()
        job = add(daemon)
        with ControlClient.connect([daemon.socket.with_name("status.sock")]) as client:
            seen = next(entry for entry, _ in client.subscribe("events", {"oldest": True}) if entry is not None)
            assert seen["jobId"] == job
        with ControlClient.connect([daemon.socket.with_name("status.sock")]) as client, pytest.raises(Exception) as no:
            next(client.subscribe("logs", {}))
        assert getattr(no.value, "code", None) == "not-permitted"
