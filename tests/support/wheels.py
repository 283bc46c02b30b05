"""What an installation fetches, in a folder: for machines and images of tests that have no network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def system_python() -> str:
    """Return the machine's own python3; skip where it cannot make virtualenvs."""
    python = shutil.which("python3", path="/usr/bin:/bin")
    if (
        python is None
        or subprocess.run([python, "-c", "import ensurepip"], capture_output=True, check=False).returncode
    ):
        # Under CI too: it is the distribution's, which may have another Python than the one the tests run by.
        pytest.skip("no python3 with venv in /usr/bin: apt-get install python3-venv")
    return python


def clone(folder: Path) -> Path:
    """Make what a fresh clone holds: the files of this checkout that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for path in listed:
        if (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / path)
    return folder


def wheels(python: str, source: Path, folder: Path, *, extras: str) -> Path:
    """Fetch the packages of an installation with these extras, and what builds jobd's own, for this Python."""
    made = folder / "wheels"
    subprocess.run([python, "-m", "venv", folder / "fetch"], check=True)
    fetched = subprocess.run(
        [folder / "fetch/bin/pip", "wheel", "--quiet", "--wheel-dir", made, f"{source}[{extras}]", "hatchling"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert fetched.returncode == 0, fetched.stderr[-3000:]
    for own in made.glob("jobd_mq-*"):
        own.unlink()  # the steps build it
    return made
