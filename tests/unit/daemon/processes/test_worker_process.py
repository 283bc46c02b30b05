"""What the daemon does at the end of a worker's process, whatever its template tells of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.daemon.processes.exit_status import UNKNOWN_STATUS
from jobd.daemon.processes.worker_process import WorkerProcess


class Template:
    """Tells a status, or fails in a way that nobody foresaw."""

    alive = True

    def __init__(self, status: int | None) -> None:
        self.status = status
        self.forgotten: list[int] = []

    async def wait_status(self, pid: int, pidfd: int) -> int:
        if self.status is None:
            raise RuntimeError("unforeseen")
        return self.status

    def forget(self, pid: int) -> None:
        self.forgotten.append(pid)


class Worker:
    queue = "mail"

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.told: list[tuple[int, bool]] = []

    def exited(self, status: int, *, template_died: bool) -> None:
        self.told.append((status, template_died))


@pytest.mark.parametrize(("status", "told"), [(9, 9), (None, UNKNOWN_STATUS)])
def test_the_end_is_told_once_and_its_descriptor_closed_also_when_nobody_can_tell_how(
    status: int | None, told: int
) -> None:
    child = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(child.pid)
    child.wait()
    worker, template = Worker(child.pid), Template(status)
    gone: list[int] = []
    orphans: Any = SimpleNamespace(worker_gone=gone.append)

    async def scene() -> None:
        process = WorkerProcess(
            worker, template, lambda: None, lambda: None, lambda: None, orphans=orphans  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        process._pidfd = pidfd
        process._ended()
        await process._background.wait(10)

    asyncio.run(scene())
    assert worker.told == [(told, False)]
    assert (template.forgotten, gone) == ([child.pid], [child.pid])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pidfd)
