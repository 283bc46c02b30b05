"""The virtualenv with what only examples, the manual and the packages' checks need: frameworks, mkdocs, build."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / ".venv-more"


def more_python() -> str:
    """Return its Python; skip without it, fail without it under CI."""
    python = _FOLDER / "bin" / "python"
    if not python.exists():
        text = f"no {_FOLDER.name}: `make install-test` makes it"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return str(python)
