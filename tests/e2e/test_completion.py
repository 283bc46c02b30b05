"""`jobd completion SHELL`, typed into each shell."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.programs import find_program


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two queues, and `jobd` on the PATH."""
    (tmp_path / "jobd.toml").write_text('[redis]\nembedded = true\n[queues]\nemail = "a:b"\nemissions = "a:b"\n')
    (tmp_path / "jobd.d").mkdir()
    (tmp_path / "jobd.d" / "1.toml").write_text('[queues]\nemerald = "a:b"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.delenv("JOBD_CONFIG", raising=False)
    return tmp_path


def _bash(line: str) -> list[str]:
    words = line.split(" ")
    script = (
        f'eval "$(jobd completion bash)"; COMP_WORDS=({" ".join(words)} ""); COMP_CWORD={len(words) - 1}; '
        '_jobd_completion jobd; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run([find_program("bash", "bash"), "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def _fish(line: str) -> list[str]:
    script = f"jobd completion fish | source; complete -C '{line}'"
    done = subprocess.run(
        [find_program("fish", "fish"), "--no-config", "-c", script], capture_output=True, text=True, check=True
    )
    return [row.partition("\t")[0].split(",")[-1] for row in done.stdout.splitlines()]


@pytest.mark.parametrize("asked", [_bash, _fish])
def test_commands_options_and_queues_are_offered(asked: object) -> None:
    ask = asked
    assert ask("jobd stat") == ["status"]  # type: ignore[operator]
    assert ask("jobd queue pau") == ["pause"]  # type: ignore[operator]
    assert "--code" in ask("jobd reload --c")  # type: ignore[operator]
    assert sorted(ask("jobd queue pause em")) == ["email", "emerald", "emissions"]  # type: ignore[operator]


def test_zsh_completes_what_is_typed() -> None:
    zsh = find_program("zsh", "zsh")
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "dumb"
        os.execv(zsh, [zsh, "-f", "-i"])
    try:
        os.write(terminal, b"PS1='ready> '; autoload -U compinit; compinit -u -D; eval \"$(jobd completion zsh)\"\n")
        os.write(terminal, b"echo com''plete\n")
        _read_until(terminal, b"\ncomplete")
        os.write(terminal, b"jobd queue pause emai\t")
        _read_until(terminal, b"jobd queue pause email ")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def _read_until(terminal: int, wanted: bytes) -> None:
    seen, end = b"", time.monotonic() + 30
    while wanted not in seen.replace(b"\r", b""):
        left = end - time.monotonic()
        assert left > 0, f"never saw {wanted!r} in {seen!r}"
        if select.select([terminal], [], [], left)[0]:
            seen += os.read(terminal, 4096)


def test_a_file_that_cannot_be_read_offers_no_queue_and_no_error(home: Path) -> None:
    (home / "jobd.toml").write_text("[[[")
    assert _bash("jobd queue pause em") == []
