"""The page on failure modes: every event is told whole, and by a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_COLUMNS = ["event", "what happens", "lost", "runs twice", "seen in", "shown by"]


def _rows() -> list[list[str]]:
    lines = (_ROOT / "docs" / "failure-modes.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == _COLUMNS
    return table[2:]


def _tests() -> set[str]:
    found: set[str] = set()
    for path in (_ROOT / "tests").rglob("test_*.py"):
        found |= {
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        }
    return found


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0])
def test_each_event_says_what_happens_and_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == len(_COLUMNS)
    assert all(row[:4])
    named = re.findall(r"`([^`]+)`", row[5])
    assert named
    assert set(named) - _tests() == set()
