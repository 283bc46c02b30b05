"""A shell in a folder of its own with this checkout's `jobd` on its PATH, to type what a page shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]


class Terminal:
    """A folder, a PATH with this checkout's jobd, and what was left running."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "home"
        self._home.mkdir()
        self._background: list[subprocess.Popen[bytes]] = []
        commands = folder / "bin"
        commands.mkdir()
        for name, arguments in (("jobd", "-m jobd"), ("python", "")):
            script = commands / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
            script.chmod(0o755)
        mine = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
        self._env = {
            **mine,
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(_ROOT),
            "JOBD_DAEMON__LOG": '{ format = "text", level = "info" }',
            "COLUMNS": "160",
        }

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Terminal]:
        terminal = cls(folder)
        try:
            yield terminal
        finally:
            terminal._close()

    def write(self, path: str, text: str) -> None:
        file = self._home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def type(self, command: str, exit_code: int) -> str:
        """Run it in bash and return what it printed, stdout and stderr as they come."""
        if command.partition("#")[0].split() == ["jobd", "run"]:
            return self._start(command)
        done = subprocess.run(
            ["bash", "-c", command], cwd=self._home, env=self._env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == exit_code, f"$ {command}\nexit {done.returncode}, not {exit_code}\n{done.stdout}"
        return done.stdout

    def _start(self, command: str) -> str:
        log = self._home.parent / f"log{len(self._background)}"
        with log.open("wb") as output:
            daemon = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self._home, env=self._env,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self._background.append(daemon)
        wait_until(lambda: self._ready(daemon, log), 30, what="jobd is ready", every=0.1)
        return log.read_text()

    def _ready(self, daemon: subprocess.Popen[bytes], log: Path) -> bool:
        assert daemon.poll() is None, log.read_text()
        health = ["bash", "-c", "jobd health --ready"]
        return subprocess.run(health, cwd=self._home, env=self._env, capture_output=True, check=False).returncode == 0

    def _close(self) -> None:
        for daemon in self._background:
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGQUIT)
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
