"""bull-board (npm) on queues that jobd made and runs: its HTTP API shows what happened, and what it does, we follow."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.client import Flow, Queue
from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.node import start_node
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat(
        "queues, states, logs, progress, failures, flows, schedulers, workers, metrics",
        "bull-board shows and steers jobd",
    ),
]

HERE = Path(__file__).parent
QUEUES = """
[queues]
reports = "board_handlers:report"
totals = "board_handlers:total"
[schedules.yearly]
queue = "reports"
cron = "0 0 1 1 *"
timezone = "Europe/Athens"
"""


class Board:
    """bull-board's HTTP API."""

    def __init__(self, port: int) -> None:
        self.site = f"http://127.0.0.1:{port}"
        self._at = f"{self.site}/api"

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Return the answer to one request; None when it has none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._at + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text.startswith((b"{", b"[")) else None

    def queue(self, name: str, status: str = "latest") -> dict[str, Any]:
        """Return one queue with the jobs of a state."""
        listed = self.ask(f"/queues?activeQueue={name}&status={status}&page=1&jobsPerPage=20")["queues"]
        return next(queue for queue in listed if queue["name"] == name)


@pytest.fixture
def daemon(short_tmp: Path, redis_server: RedisServer, prefix: str) -> Iterator[DaemonProcess]:
    with DaemonProcess(short_tmp / "d", redis_server.url, QUEUES, prefix=prefix) as daemon:
        yield daemon.start_ready()


@pytest.fixture
def board(redis_server: RedisServer, prefix: str) -> Iterator[Board]:
    process = start_node(HERE / "bull_board.cjs", str(redis_server.port), prefix, "reports", "totals")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.strip().isdigit(), line + (process.stderr.read() if process.stderr else "")
        yield Board(int(line))
    finally:
        process.communicate(timeout=10)


@pytest.fixture
def reports(redis_server: RedisServer, r: Any, prefix: str) -> Iterator[Jobs]:
    jobs = Jobs(r, redis_server.url, prefix, "reports")
    yield jobs
    jobs.close()


@pytest.fixture
def queue(redis_server: RedisServer, prefix: str) -> Iterator[Callable[[str], Queue]]:
    opened: list[Queue] = []

    def of(name: str) -> Queue:
        opened.append(Queue(name, url=redis_server.url, prefix=prefix))
        return opened[-1]

    yield of
    for one in opened:
        one.close()


def test_it_shows_what_a_job_logged_reached_returned_or_failed_with(
    daemon: DaemonProcess, board: Board, reports: Jobs
) -> None:
    good, bad = reports.add({"of": "May"}, name="monthly"), reports.add({"fails": "no orders"}, attempts=2)
    reports.wait_state(good, "completed")
    reports.wait_state(bad, "failed")
    shown = board.queue("reports")
    assert (shown["counts"]["completed"], shown["counts"]["failed"], shown["hasWorkers"]) == (1, 1, True)
    jobs = {job["id"]: job for job in shown["jobs"]}
    done, failed = jobs[good], jobs[bad]
    assert (done["name"], done["data"], done["progress"]) == ("monthly", {"of": "May"}, {"done": 1, "of": 2})
    assert (done["returnValue"], done["isFailed"]) == ({"pages": 3}, False)
    assert done["timestamp"] <= done["processedOn"] <= done["finishedOn"]
    assert (failed["failedReason"], failed["attempts"], failed["isFailed"]) == ("no orders", 2, True)
    assert len(failed["stacktrace"]) == 2
    assert all("board_handlers.py" in stack for stack in failed["stacktrace"])
    logged = board.ask(f"/queues/reports/{good}/logs")
    assert logged == ["reading the orders", "writing the page"]


def test_it_counts_and_lists_the_jobs_of_every_state(
    daemon: DaemonProcess, board: Board, reports: Jobs, queue: Callable[[str], Queue], tmp_path: Path
) -> None:
    until = tmp_path / "until"
    good, bad, held = reports.add({}), reports.add({"fails": "no orders"}), reports.add({"until": str(until)})
    reports.wait_state(good, "completed")
    reports.wait_state(bad, "failed")
    reports.wait_state(held, "active")
    made = {
        "waiting": reports.add({}), "prioritized": reports.add({}, priority=3), "delayed": reports.add({}, delay="1h"),
        "active": held, "completed": good, "failed": bad,
        "waiting-children": queue("reports").add_flow(Flow("sum", {}, children=[Flow("part", {}, delay="1h")])).job.id,
    }  # fmt: skip
    shown = board.queue("reports")
    # Two more are delayed: the child, and the next run of the file's schedule.
    assert shown["counts"] == {**dict.fromkeys(made, 1), "delayed": 3}
    for state, job_id in made.items():
        assert job_id in [job["id"] for job in board.queue("reports", state)["jobs"]], state
    board.ask("/queues/reports/pause", "PUT")
    assert board.queue("reports")["isPaused"] is True
    until.touch()
    reports.wait_state(held, "completed")


def test_it_lists_and_steers_the_schedulers(
    daemon: DaemonProcess, board: Board, reports: Jobs, queue: Callable[[str], Queue]
) -> None:
    queue("reports").schedule("nightly", "night", {"of": "May"}, cron="15 3 * * *")
    queue("reports").schedule("hourly", "hour", {}, every="1h", limit=5)
    listed = board.ask("/job-schedulers?queueName=reports")["schedulers"]
    found = {one["id"]: one for one in listed}
    assert {key: (one["name"], one.get("pattern"), one.get("every"), one.get("tz")) for key, one in found.items()} == {
        "yearly": ("yearly", "0 0 1 1 *", None, "Europe/Athens"), "nightly": ("night", "15 3 * * *", None, "UTC"),
        "hourly": ("hour", None, 3_600_000, None),
    }  # fmt: skip
    assert (found["nightly"]["template"]["data"], found["hourly"]["limit"]) == ({"of": "May"}, 5)
    for key in ("yearly", "nightly"):
        assert reports.state(f"repeat:{key}:{found[key]['next']}") == "delayed"
    ran = board.ask("/queues/reports/job-schedulers/nightly/run", "PUT")["job"]
    assert reports.wait_state(str(ran["id"]), "completed")["name"] == "night"
    board.ask("/queues/reports/job-schedulers/nightly", "PATCH", {"pattern": "30 4 * * *", "tz": "Asia/Tokyo"})
    changed = queue("reports").get_schedule("nightly")
    assert changed is not None
    assert (changed.repeat.pattern, changed.repeat.timezone, changed.template.name) == (
        "30 4 * * *",
        "Asia/Tokyo",
        "night",
    )
    board.ask("/queues/reports/job-schedulers/nightly/remove", "PUT")
    assert queue("reports").get_schedule("nightly") is None


def test_its_charts_count_what_ended(daemon: DaemonProcess, board: Board, reports: Jobs) -> None:
    good, bad = reports.add({}), reports.add({"fails": "no orders"})
    reports.wait_state(good, "completed")
    reports.wait_state(bad, "failed")

    def counted() -> bool:
        found = board.ask("/queues/reports/metrics")
        return all(found[state] and found[state]["meta"]["count"] == 1 for state in ("completed", "failed"))

    wait_until(counted, 20, what="both are counted")


def test_it_shows_the_workers_by_queue_and_name(daemon: DaemonProcess, board: Board) -> None:
    [worker] = board.ask("/queues/reports/workers")["workers"]
    [pid] = daemon.worker_pids("reports")
    assert worker["name"] == f"{socket.gethostname()}:reports:{pid}"


def test_it_shows_the_tree_of_a_flow(daemon: DaemonProcess, board: Board, queue: Callable[[str], Queue]) -> None:
    tree = Flow("sum", {}, children=[Flow("part", {}, queue="reports"), Flow("part", {}, queue="reports")])
    handle = queue("totals").add_flow(tree)
    assert handle.job.wait(timeout=20) == 6
    flow = board.ask(f"/queues/totals/{handle.job.id}/flow")
    root = flow["flowRoot"]
    assert (root["name"], root["state"]) == ("sum", "completed")
    assert [(child["name"], child["queueName"], child["state"]) for child in root["children"]] == [
        ("part", "reports", "completed"), ("part", "reports", "completed"),
    ]  # fmt: skip


def test_what_is_done_there_is_followed(daemon: DaemonProcess, board: Board, reports: Jobs) -> None:
    board.ask("/queues/reports/pause", "PUT")
    wait_until(lambda: daemon.queue("reports")["state"] == "paused", 10, what="the pause is seen")
    held = reports.add({})
    delayed = reports.add({}, delay="1h")
    board.ask(f"/queues/reports/{delayed}/promote", "PUT")
    added = board.ask("/queues/reports/add", "POST", {"name": "by hand", "data": {"fails": "first"}, "options": {}})
    by_hand = str(added["job"]["id"])
    assert {reports.state(job) for job in (held, delayed, by_hand)} == {"waiting"}
    board.ask("/queues/reports/resume", "PUT")
    reports.wait_state(held, "completed")
    reports.wait_state(delayed, "completed")
    reports.wait_state(by_hand, "failed")
    board.ask(f"/queues/reports/{by_hand}/update-data", "PATCH", {"jobData": {}})
    board.ask(f"/queues/reports/{by_hand}/retry", "PUT")
    assert json.loads(reports.wait_state(by_hand, "completed")["returnvalue"]) == {"pages": 3}
    board.ask(f"/queues/reports/{held}/clean", "PUT")
    assert reports.hash(held) == {}
