"""`jobd top` in a real terminal, by tmux: looked at, resized, driven, with a daemon that goes away and comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import ROOT, DaemonProcess
from tests.support.waiting import wait_until

QUEUES = '[queues.email]\nhandler = "counting_handlers:ends"\nattempts = 1\nkeep_completed = 10\n'


class Tmux:
    """One window of a tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self._base = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def __call__(self, *words: str) -> str:
        return subprocess.run([*self._base, *words], check=True, capture_output=True, text=True, timeout=20).stdout

    def runs(self) -> bool:
        return subprocess.run([*self._base, "has-session"], check=False, capture_output=True).returncode == 0

    def screen(self) -> str:
        return self("capture-pane", "-p")

    def shows(self, *texts: str) -> str:
        def found() -> str | None:
            screen = self.screen()
            return screen if all(text in screen for text in texts) else None

        try:
            return wait_until(found, 20, what=f"the screen shows {texts}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None


@pytest.fixture
def tmux(short_tmp: Path) -> Iterator[Tmux]:
    window = Tmux(short_tmp / "tmux.sock")
    yield window
    subprocess.run([*window._base, "kill-server"], check=False, capture_output=True)


def test_top_in_a_terminal(make: Callable[..., DaemonProcess], tmux: Tmux) -> None:
    daemon = make(QUEUES)
    # Textual takes COLUMNS and LINES for the size where they are set, and looks no further.
    program = f"env -u COLUMNS -u LINES PYTHONPATH={ROOT} {sys.executable} -m jobd"
    command = f"{program} --socket {daemon.socket} --config {daemon.config} top"
    tmux("new-session", "-d", "-x", "80", "-y", "24", command)
    screen = tmux.shows("email", "running", "WORKER", "q quit")
    assert max(map(len, screen.splitlines())) <= 80
    daemon.call("job.add", queue="email", name="n", data={"how": "fails"})
    tmux("send-keys", "Enter")
    tmux.shows("failed 1")
    tmux("send-keys", "Escape")
    tmux.shows("WORKER")  # or the next key would be taken for Alt and that key
    tmux("send-keys", "p")
    tmux.shows("pause email")
    tmux("send-keys", "y")
    tmux.shows("paused")
    assert daemon.queue("email")["state"] == "paused"
    tmux("resize-window", "-x", "200", "-y", "60")
    assert len(tmux.shows("DELAYED", "WAITED", "RESTARTS").splitlines()) == 60
    daemon.stop()
    tmux.shows("no daemon", "email")
    daemon.start_ready()
    tmux.shows("ready", "WORKER")
    tmux("send-keys", "q")
    wait_until(
        lambda: subprocess.run([*tmux._base, "has-session"], capture_output=True).returncode, what="it has ended"
    )
