"""A real systemd as PID 1 of a throw-away sandbox, on a machine whose own PID 1 may be anything.

New pid, mount, net, uts, ipc and cgroup namespaces over the host's userland; nothing on the host changes. It needs
root, cgroup v2 and util-linux. $JOBD_SYSTEMD_TREE names another userland with another systemd (`make systemd`). Where
the controllers sit on cgroup v1, MemoryMax= and its like are accepted but not enforced.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

TREE = Path(os.environ.get("JOBD_SYSTEMD_TREE", "/"))
_SYSTEMD = TREE / "lib/systemd/systemd"
_TOOLS = ("unshare", "nsenter", "setpriv", "mount", "pivot_root")
_NAMESPACES = ("--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup")
_POWEROFF_NOW = signal.SIGRTMIN + 14  # systemd(1), signals


def need_systemd() -> None:
    """Skip where a sandbox is not possible: not root, no systemd, no cgroup v2, or no right to make namespaces."""
    if os.geteuid() != 0:
        pytest.skip("a systemd sandbox needs root")
    if not _SYSTEMD.exists():
        pytest.skip(f"no {_SYSTEMD}: apt-get install systemd")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"a systemd sandbox needs {', '.join(missing)} (util-linux)")
    if _cgroup2_mount() is None or not os.access(_cgroup2_mount() or "/", os.W_OK):
        pytest.skip("no writable cgroup v2 mount")
    probe = subprocess.run(["unshare", *_NAMESPACES, "--fork", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"this container may not make namespaces: {probe.stderr.decode().strip()}")


class SystemdSandbox:
    """One booted systemd. `folder` holds its console log; `binds` are folders {guest: host}, read-only inside."""

    def __init__(self, folder: Path, *, binds: Mapping[str, Path]) -> None:
        self.folder = folder
        self._binds = binds
        self._cgroup = Path(_cgroup2_mount() or "/") / f"jobd-test-{os.getpid()}-{folder.name}"
        self._outer: subprocess.Popen[bytes] | None = None
        self._init_pid = 0

    def start(self) -> SystemdSandbox:
        """Boot it and wait until systemd says that it is up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._cgroup.mkdir()
        script = Path(__file__).with_name("systemd_root.sh")
        env = {
            "PATH": os.environ["PATH"],
            "WORK": str(self.folder),
            "TREE": str(TREE),
            "BINDS": "\n".join(f"{host}\t{guest}" for guest, host in self._binds.items()),
        }
        # The shell moves itself into the cgroup first, so that the new cgroup namespace has it as its root.
        enter = f'echo $$ >"{self._cgroup}/cgroup.procs" && exec unshare {" ".join(_NAMESPACES)} --fork --kill-child '
        with self._log.open("wb") as log:
            self._outer = subprocess.Popen(
                ["sh", "-c", enter + f'sh "{script}"'], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._init_pid = wait_until(self._find_init, 30, what="systemd runs", every=0.05)
        wait_until(self._is_up, 60, what="systemd is up", every=0.1)
        return self

    def run(self, command: str, *, stdin: str = "", deadline: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside, as root; whatever its exit code."""
        return subprocess.run(
            ["nsenter", "-t", str(self._init_pid), *_NAMESPACES, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
             "LANG=C.UTF-8", "SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0", "sh", "-c", command],
            input=stdin, capture_output=True, text=True, timeout=deadline, check=False,
        )  # fmt: skip

    def must(self, command: str, *, stdin: str = "", deadline: float = 60.0) -> str:
        """Run a shell command inside and return what it printed; fail the test when it fails."""
        done = self.run(command, stdin=stdin, deadline=deadline)
        if done.returncode != 0:
            raise AssertionError(f"$ {command}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def write(self, path: str, text: str, *, mode: str = "644") -> None:
        """Write a file inside, its folders too."""
        self.must(f'mkdir -p "$(dirname {path})" && cat >{path} && chmod {mode} {path}', stdin=text)

    def stop(self) -> None:
        """Power it off and remove what it left in the host's cgroups; harmless when it is not up."""
        if self._outer is not None:
            if self._outer.poll() is None and self._init_pid:
                os.kill(self._init_pid, _POWEROFF_NOW)
            try:
                self._outer.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self._outer.kill()  # --kill-child takes PID 1 of the namespace along, and that everything else
                self._outer.wait()
            self._outer = None
        if self._cgroup.exists():
            wait_until(self._cgroup_is_gone, 10, what="the sandbox's cgroups are empty", every=0.05)

    @property
    def _log(self) -> Path:
        return self.folder / "console.log"

    def _find_init(self) -> int:
        assert self._outer is not None
        if self._outer.poll() is not None:
            raise AssertionError(f"systemd ended:\n{self._log.read_text(errors='replace')[-3000:]}")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        for pid in children:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                return int(pid)
        return 0

    def _is_up(self) -> bool:
        state = self.run("systemctl is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def _cgroup_is_gone(self) -> bool:
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:  # a process of it has not been reaped yet
                return False
        return True


def _cgroup2_mount() -> str | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return place
    return None
