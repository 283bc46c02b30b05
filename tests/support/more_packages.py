"""The virtualenv with what only examples, the manual and the packages' checks need: frameworks, mkdocs, build."""

from __future__ import annotations

from pathlib import Path

from tests.support.programs import missing

_FOLDER = Path(__file__).parents[2] / ".venv-more"


def more_python() -> str:
    """Return its Python; without it the test is skipped, and fails under CI."""
    python = _FOLDER / "bin" / "python"
    if not python.exists():
        missing(f"no {_FOLDER.name}: `make install-test` makes it")
    return str(python)
