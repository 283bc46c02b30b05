"""bull-board's page in Chromium, on jobs that jobd made and ran: what a person sees there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from jobd.client import Flow, Queue
from tests.interop.test_bull_board import Board, board, daemon, queue, reports
from tests.support.browser import Browser
from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.waiting import wait_until

__all__ = ["board", "daemon", "queue", "reports"]

pytestmark = [
    pytest.mark.node,
    pytest.mark.compat(
        "queues, states, logs, progress, failures, flows, schedulers, workers, metrics",
        "bull-board shows and steers jobd",
    ),
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(tmp_path / "chromium")
    browser.set_up()
    yield browser
    browser.quit()


def test_the_page_shows_what_jobd_made_and_ran(
    daemon: DaemonProcess, board: Board, reports: Jobs, queue: Callable[[str], Queue], browser: Browser
) -> None:
    good, bad = reports.add({"of": "May"}, name="monthly"), reports.add({"fails": "no orders"}, attempts=2)
    parts = [Flow("part", {}, queue="reports"), Flow("part", {}, queue="reports")]
    total = queue("totals").add_flow(Flow("sum", {}, children=parts)).job
    queue("reports").schedule("nightly", "night", {}, cron="15 3 * * *")
    assert total.wait(timeout=20) == 6
    reports.wait_state(good, "completed")
    reports.wait_state(bad, "failed")
    [pid] = daemon.worker_pids("reports")

    def sees(path: str, *words: str) -> None:
        browser.open(board.site + path)
        for word in words:
            browser.wait_text(word, "body")

    sees("/", "reports", "totals", "6 Jobs", "1 Job")
    sees("/queue/reports?status=failed", f"#{bad}", "Failed at", "board_handlers.py", "ValueError: no orders")
    sees(f"/queue/reports/{good}", "monthly", f"by {os.uname().nodename}:reports:{pid}", 'of:"May"', "pages:3")
    browser.press("Logs")
    browser.wait_text("reading the orders\nwriting the page", "body")
    browser.press("Progress")
    browser.wait_text("done:1,\nof:2", "body")
    sees(f"/queue/totals/{total.id}", "returnValue:6", "Job flow", "2 done", "part")
    sees("/queue/reports?status=delayed", "repeat:nightly:", "Will run at")
    sees("/job-schedulers?queueName=reports", "nightly", "15 3 * * *", "UTC")
    sees("/queue/reports?status=completed", "Completed")
    browser.one('button[aria-label="Queue info"]').click()
    browser.press("Connected workers")
    browser.wait_text(f"{os.uname().nodename}:reports:{pid}", "[role=dialog]")


def test_the_page_charts_the_metrics_that_jobd_writes(
    daemon: DaemonProcess, board: Board, reports: Jobs, browser: Browser, r: redis.Redis, prefix: str
) -> None:
    counted = f"{prefix}:reports:metrics:completed"
    for begin in range(3):
        wanted = begin + 1
        reports.wait_state(reports.add({"of": "May"}, name="monthly"), "completed")
        wait_until(lambda wanted=wanted: r.hget(counted, "count") == str(wanted), 20, what="it is counted")
        # Minutes pass: a point comes with the first job of the next one.
        r.hincrby(counted, "prevTS", -120_000)
    browser.open(board.site + "/queue/reports?status=completed")
    browser.wait_text("3\nCompleted (last 60 min)", "body")
    browser.wait_text("1\nPeak / min", "body")
    assert browser.driver.execute_script("return document.querySelectorAll('svg .recharts-area-curve').length") == 2
