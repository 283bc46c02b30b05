"""`queue show` says why no job of a queue is taken, and the command that comes next: every reason, on a live daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.daemon_process import ROOT
from tests.support.waiting import wait_until

QUEUES = """
[queues]
calm = "daemon_handlers:ok"
paused = "daemon_handlers:ok"
quiet = "daemon_handlers:ok"
later = "daemon_handlers:ok"
[queues.limited]
handler = "daemon_handlers:ok"
rate_limit = { max = 1, duration = "1h" }
[queues.maxed]
handler = "daemon_handlers:slow"
workers = 2
global_concurrency = 1
[queues.crashing]
handler = "daemon_handlers:die"
breaker = { crashes = 1, retry = "1h" }
[queues.unset]
handler = "daemon_handlers:ok"
setup = "daemon_handlers:bad_setup"
"""

REASONS = {
    "calm": None,
    "paused": "paused",
    "quiet": "quiet",
    "later": "nothing_due",
    "limited": "rate_limited",
    "maxed": "maxed",
    "crashing": "breaker",
    "unset": "no_workers",
}


def test_each_reason_is_told_with_what_to_do(make, jobs, own_redis):
    server = own_redis
    daemon = make(QUEUES, url=server.url)

    def show(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "jobd", "--config", str(daemon.config), *arguments],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    for name in ("limited", "maxed"):
        queue = jobs(name, server)
        for _ in range(2):
            queue.add({})
        wait_until(lambda queue=queue: len(queue.ids("wait")) == 1, what=f"one of {name} was taken")
    jobs("crashing", server).add({})
    jobs("later", server).add({}, delay="1h")
    show("queue", "pause", "paused", "--reason", "cdn down")
    show("queue", "quiet", "quiet")
    for name, why in REASONS.items():
        wait_until(lambda name=name, why=why: daemon.queue(name)["why"] == why, 20, what=f"{name}: {why}")
        assert daemon.call("queue.show", queue=name)["queue"]["why"] == why
    for name, words in (
        ("paused", '"cdn down"'),
        ("paused", "next: jobd queue resume paused"),
        ("quiet", "next: jobd queue unquiet quiet"),
        ("later", "next: jobd job list later --state delayed"),
        ("limited", "rate limit used up for 59m"),
        ("limited", "its rate limit is used up for now"),
        ("maxed", "next: jobd job list maxed --state active"),
        ("crashing", "next: jobd queue reset crashing"),
        ("unset", "setup failed: RuntimeError: no database"),
    ):
        assert words in show("queue", "show", name)
    assert "nothing runs" not in show("queue", "show", "calm")
    server.signal(signal.SIGSTOP)
    wait_until(lambda: daemon.queue("calm")["why"] == "redis_down", 20)
    told = show("queue", "show", "calm")
    assert "Redis does not answer" in told
    assert "next: jobd doctor" in told
    server.signal(signal.SIGCONT)
    wait_until(lambda: daemon.queue("calm")["why"] is None, 20)
