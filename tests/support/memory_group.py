"""A control group with little memory, for a daemon of a test: the kernel kills in it as on a machine that is full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

_MOUNT = Path("/sys/fs/cgroup")


class MemoryGroup:
    """`launcher` is what to put before a command so that it runs in the group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launcher = ("sh", "-c", f'echo $$ >"{folder}/cgroup.procs" && exec "$@"', "sh")


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """Make one of so many bytes; skip where that is not possible. What runs in it must have ended at the end."""
    if os.geteuid() != 0:
        pytest.skip("a control group needs root")
    first, name = _MOUNT / "memory", "memory.limit_in_bytes"  # cgroup v1
    if not (first / name).exists():
        first, name = _MOUNT, "memory.max"
        controllers = first / "cgroup.subtree_control"
        if not controllers.exists() or "memory" not in controllers.read_text():
            pytest.skip("no memory controller")
    folder = first / f"jobd-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        (folder / name).write_text(str(limit))
        yield MemoryGroup(folder)
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text(), 10, what="nothing runs in the group")
        folder.rmdir()
