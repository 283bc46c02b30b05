"""An image built from a Dockerfile, and containers of it, without Docker: namespaces over the host's userland.

Every FROM stands for the host itself: what a stage writes lies in a layer of its own in memory. It needs root,
overlayfs and util-linux; nothing on the host changes.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

_TOOLS = ("unshare", "nsenter", "mount", "chroot")
_OF_PIP = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
_HOLD = """
mount -t tmpfs -o mode=755 image "$WORK" && mount --make-rprivate / && echo ready && exec sleep infinity
"""
_LAYER = """
mkdir -p "$WORK/$STAGE/up" "$WORK/$STAGE/work" "$WORK/$STAGE/root" && cd "$WORK/$STAGE"
mount -t overlay overlay -o "lowerdir=/,upperdir=up,workdir=work" root
mount -t proc proc root/proc && mount --rbind /dev root/dev && mount -t tmpfs -o mode=1777 tmp root/tmp
ln -sf "$PYTHON" root/usr/local/bin/python
"""
_CONTAINER = """
cd "$ROOT" && mount --bind . . && cd "$ROOT" && mount -o remount,bind,ro .
mount -t proc proc proc && mount --rbind /dev dev && mount -t tmpfs -o mode=1777 tmp tmp
for folder in $WRITABLE; do mount -t tmpfs -o "mode=750,uid=$UID_,gid=$UID_" state ".$folder"; done
printf '%s\\n' "$BINDS" | while IFS="$(printf '\\t')" read -r host guest; do
  [ -z "$host" ] || { mkdir -p ".$guest" && mount --rbind "$host" ".$guest" && mount -o remount,bind,ro ".$guest"; }
done
"""


def need_containers() -> None:
    """Skip where one is not possible."""
    if os.geteuid() != 0:
        pytest.skip("a container needs root")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"a container needs {', '.join(missing)}")
    probe = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if probe.returncode:
        pytest.skip(f"this container may not make namespaces: {probe.stderr.strip()}")


@dataclass
class Instructions:
    """What the last stage of a Dockerfile says about the containers."""

    env: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"


class Image:
    """A Dockerfile's image. `build` runs its lines one after another; `stop` removes everything."""

    def __init__(self, folder: Path, context: Path, *, python: str) -> None:
        """Prepare. `folder` is ours; `python` is what the image's own python is."""
        self.said = Instructions()
        self._folder, self._context = folder, context
        self._settings = {"WORK": str(folder), "PYTHON": python}
        self._holder: subprocess.Popen[str] | None = None
        self._stages: list[str] = []
        folder.mkdir(parents=True)

    def build(self) -> None:
        """Build it; fail the test with the line that failed."""
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _HOLD], env={**os.environ, **self._settings},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        for word, rest in _lines((self._context / "Dockerfile").read_text()):
            self._follow(word, rest)

    def stop(self) -> None:
        """End it; harmless when it is not built."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.kill()
            holder.wait()
            assert holder.stdout is not None
            holder.stdout.close()

    @property
    def root(self) -> str:
        """The root of the last stage, in the namespace of the image."""
        return f"{self._folder}/{self._stages[-1]}/root"

    def run(
        self, log: Path, *, args: Sequence[str] = (), env: Mapping[str, str], binds: Mapping[str, Path],
        writable: Sequence[str],
    ) -> Container:  # fmt: skip
        """Start a container: a read-only root, own processes, `binds` read-only, `writable` folders in memory."""
        uid = self.said.user.split(":")[0]
        command = ["env", "-i", "-C", self.said.folder, *self._variables(env), *self.said.command[:1]]
        command += args or self.said.command[1:]
        start = f"{_CONTAINER}exec chroot --userspec={self.said.user} . {shlex.join(command)}"
        settings = {
            "ROOT": self.root, "UID_": uid, "WRITABLE": " ".join(writable),
            "BINDS": "\n".join(f"{host}\t{guest}" for guest, host in binds.items()),
        }  # fmt: skip
        outer = self._inside(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", start], settings, log
        )
        return Container(self, outer)

    def _variables(self, more: Mapping[str, str]) -> list[str]:
        return [f"{name}={value}" for name, value in {**self.said.env, **more}.items()]

    def _inside(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        assert self._holder is not None
        with log.open("ab") as written:
            return subprocess.Popen(
                ["nsenter", "-t", str(self._holder.pid), "--mount", *command],
                env={"PATH": os.environ["PATH"], **self._settings, **env},
                stdin=subprocess.DEVNULL, stdout=written, stderr=written,
            )  # fmt: skip

    def _must(self, what: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        log = self._folder.with_name("build.log")
        log.write_bytes(b"")
        code = self._inside(command, env, log).wait(300)
        assert code == 0, f"{what}\nexit {code}\n{log.read_text(errors='replace')[-3000:]}"

    # --- the words of a Dockerfile -----------------------------------------------------------------------------------

    def _follow(self, word: str, rest: str) -> None:
        match word:
            case "FROM":
                self._stages.append(rest.partition(" AS ")[2] or str(len(self._stages)))
                self.said = Instructions()
                self._must(f"FROM {rest}", ["sh", "-e", "-c", _LAYER], {"STAGE": self._stages[-1]})
            case "RUN":
                self._must(f"RUN {rest}", self._chrooted(rest), {})
            case "COPY":
                self._copy(rest)
            case "ARG" | "ENV":
                self.said.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "WORKDIR":
                self.said.folder = rest
                self._must(f"WORKDIR {rest}", ["mkdir", "-p", self.root + rest], {})
            case "USER":
                self.said.user = rest
            case "HEALTHCHECK":
                self.said.health = json.loads(rest.partition("CMD ")[2])
            case "STOPSIGNAL":
                self.said.stop_signal = rest
            case "ENTRYPOINT" | "CMD":
                self.said.command += json.loads(rest)
            case _:
                raise AssertionError(f"no idea what {word} does")

    def _chrooted(self, command: str) -> list[str]:
        # Where packages come from is this machine's matter.
        pip = {name: value for name, value in os.environ.items() if name in _OF_PIP}
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        variables = [f"{name}={value}" for name, value in {**path, **pip, **self.said.env}.items()]
        return ["chroot", self.root, "env", "-i", "-C", self.said.folder, *variables, "sh", "-c", command]

    def _copy(self, rest: str) -> None:
        told = dict(word.removeprefix("--").split("=") for word in rest.split() if word.startswith("--"))
        *sources, target = [word for word in rest.split() if not word.startswith("--")]
        base = f"{self._folder}/{told['from']}/root" if "from" in told else str(self._context)
        inside = os.path.normpath(f"{self.said.folder}/{target}")
        to = self.root + (target if target.startswith("/") else inside)
        for source in sources:
            # A folder's content goes into the target, a file keeps its name.
            copy = 'if [ -d "$1" ]; then mkdir -p "$2" && cp -a "$1/." "$2"; else cp -a "$1" "$2"; fi'
            self._must(f"COPY {rest}", ["sh", "-e", "-c", copy, "sh", f"{base}/{source}", to], {})
        if "chown" in told:
            self._must(f"COPY {rest}", self._chrooted(f"chown -R {told['chown']}: {target}"), {})


class Container:
    """A started container. Its PID 1 is what ENTRYPOINT and CMD name."""

    def __init__(self, image: Image, outer: subprocess.Popen[bytes]) -> None:
        self._image, self._outer = image, outer

    @property
    def pid(self) -> int:
        """PID 1's number on the host; fails when it is gone."""
        return int(wait_until(self._children, 10, what="there is a PID 1")[0])

    def _children(self) -> list[str]:
        assert self._outer.poll() is None, f"the container ended with {self._outer.returncode}"
        return Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()

    def execute(self, command: Sequence[str], *, deadline: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command in it as its user, as `docker exec` does."""
        said = self._image.said
        uid, gid = said.user.split(":")
        inside = ["env", "-i", "-C", said.folder, *(f"{name}={value}" for name, value in said.env.items()), *command]
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), "--mount", "--pid", "--root", "-S", uid, "-G", gid, *inside],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline, check=False,
        )  # fmt: skip

    def healthy(self) -> bool:
        """Run its health check; fails when the container has ended."""
        return self.execute(self._image.said.health).returncode == 0

    def stop(self) -> None:
        """Send the signal that ends it."""
        os.kill(self.pid, getattr(signal, self._image.said.stop_signal))

    def wait(self, deadline: float = 30.0) -> int:
        """Return its exit code once it has ended."""
        return self._outer.wait(deadline)

    def processes(self) -> list[str]:
        """Return "state name" of everything in it but PID 1; a zombie's state is Z."""
        listed = self.execute(["cat", *(f"/proc/{pid}/stat" for pid in self._pids())]).stdout
        return [
            f"{line.rpartition(')')[2].split()[0]} {line.split('(')[1].split(')')[0]}" for line in listed.splitlines()
        ]

    def _pids(self) -> list[str]:
        names = self.execute(["ls", "/proc"]).stdout.split()
        return [name for name in names if name.isdigit() and name != "1"]

    def destroy(self) -> None:
        """End it whatever its state."""
        if self._outer.poll() is None:
            # Not by --kill-child: a process that changes its user no longer hears of its parent's end.
            for pid in self._children():
                os.kill(int(pid), signal.SIGKILL)  # the kernel takes everything else in there along
            self._outer.kill()
            self._outer.wait()


def _lines(text: str) -> list[tuple[str, str]]:
    joined = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]
