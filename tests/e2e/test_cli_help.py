"""`jobd help`, the man page, `jobd systemd print`: one source, and what it says is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobd.cli import main
from jobd.cli.app import jobd
from jobd.cli.manual import as_man_page, as_markdown, commands
from jobd.exits import INTERRUPTED, Exit
from tests.support.programs import find_program

_UNIT = Path(__file__).parents[2] / "systemd" / "jobd.service"


def _printed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(argv) == 0
    return capsys.readouterr().out


def test_help_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _printed(["help", "queue", "pause"], capsys)
    assert shown == _printed(["queue", "pause", "--help"], capsys)
    assert _printed(["help"], capsys) == _printed(["--help"], capsys)


def test_every_exit_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _printed(["help", "exit-codes"], capsys).splitlines()
    assert [int(line.split()[0]) for line in lines[2:]] == [*sorted(Exit), INTERRUPTED]


def test_an_unknown_topic_is_usage_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "signal"]) == 2
    assert 'did you mean "signals"?' in capsys.readouterr().err


def test_every_command_is_in_the_manual() -> None:
    names = [words for words, _ in commands(jobd)]
    assert {"jobd run", "jobd queue pause", "jobd schema jobs", "jobd systemd print"} <= set(names)
    page = as_markdown(jobd)
    assert all(f"\n## {name}\n" in page for name in names)


def test_the_man_page_is_read_by_man_without_a_complaint(tmp_path: Path) -> None:
    find_program("man", "man-db")
    (tmp_path / "jobd.1").write_text(as_man_page(jobd, "0"))
    command = ["man", "--warnings", "--local-file", str(tmp_path / "jobd.1")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "jobd queue pause" in done.stdout.replace("\x08", "")


def test_the_unit_names_this_installation_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = _UNIT.read_text()
    unit = _printed(["systemd", "print", "--config", "my.toml"], capsys)
    assert f"Environment=JOBD_CONFIG={tmp_path}/my.toml\n" in unit
    assert f"Environment=PATH={Path(sys.prefix)}/bin:/usr" in unit
    plain = _printed(["systemd", "print"], capsys).replace(f"{Path(sys.prefix)}/bin", "/opt/jobd/bin")
    assert plain == shipped


@pytest.mark.parametrize(("profile", "exposure"), [("plain", 93), ("standard", 15), ("strict", 13)])
def test_each_profile_is_valid(profile: str, exposure: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find_program("systemd-analyze", "systemd")
    unit = tmp_path / "jobd.service"
    unit.write_text(_printed(["systemd", "print", "--profile", profile], capsys))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={exposure}", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stdout[-500:]
