"""The kernel kills a worker because its control group has no memory left."""

from __future__ import annotations

from tests.support.daemon_process import DaemonProcess
from tests.support.memory_group import memory_group

QUEUES = """
[queues.a]
handler = "daemon_handlers:eat_memory"
[queues.b]
handler = "daemon_handlers:ok"
"""


def test_the_job_says_that_memory_was_out_and_the_other_queue_runs_on(redis_server, prefix, jobs, short_tmp):
    a, b = jobs("a"), jobs("b")
    with (
        memory_group(300_000_000) as group,
        DaemonProcess(short_tmp, redis_server.url, QUEUES, prefix=prefix) as daemon,
    ):
        daemon.launcher = group.launcher
        daemon.start_ready()
        fields = a.wait_state(a.add({"bytes": 1_000_000_000}), "failed", 30)
        assert fields["failedReason"] == "worker died: out of memory (signal 9 (SIGKILL) by the kernel)"
        assert (fields["stc"], fields["atm"]) == ("2", "1")
        assert b.result(b.add({}), 10)
        killed = daemon.logged("worker killed by the kernel for memory")
        assert [line["queue"] for line in killed] == ["a", "a"]
        assert daemon.stop() == 0
