"""The rows of docs/bullmq-compatibility.md: a test's `compat` marks, and the version of BullMQ that it ran beside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.node import node_modules

PAGE = Path(__file__).parents[2] / "docs" / "bullmq-compatibility.md"
HEADINGS = {"bullmq": "BullMQ {bullmq} (npm)", "bullmq5": "BullMQ {bullmq5} (npm)", "python": "bullmq (PyPI)"}
TEXT = """# Compatibility with BullMQ

Written by `make interop` from the outcome of the tests in `tests/interop`: a row is one or more tests in which BullMQ
is one side. "Compared" means that the same steps were done by BullMQ and by jobd, and that the keys and events they
left in Redis are equal. `make interop BULLMQ=6.8.0` runs the same against another version and prints what differs.
"With workers": the jobs were run once by BullMQ's Worker and once by a worker of jobd. `make crowd` gives 20,000 jobs
with priorities, limits, flows and deduplication to two workers of each at once, and finds that each ran once.
The place of everything in Redis is described in [wire-format.md](wire-format.md), what differs on purpose in
[moving/bullmq.md](moving/bullmq.md#what-differs-on-purpose).

"""


class Row(NamedTuple):
    """One cell of the table: what, which way, beside which package."""

    feature: str
    direction: str
    peer: str


def row_of(item: pytest.Item) -> Iterator[Row]:
    """Yield the rows that a test belongs to."""
    for mark in item.iter_markers("compat"):
        spec = getattr(item, "callspec", None)
        peer = spec.params.get("peer", "bullmq") if spec else "bullmq"
        yield Row(mark.args[0], mark.args[1], mark.kwargs.get("peer", peer))


def write_page(page: Path, outcomes: Mapping[Row, bool]) -> None:
    """Write the table: "yes" where every test of a cell passed, "NO" where one did not, "-" where none asks."""
    versions = {name: _version(name) for name in ("bullmq", "bullmq5")}
    heads = [text.format(**versions) for text in HEADINGS.values()]
    lines = [f"| What | Which way | {' | '.join(heads)} |", "|" + " --- |" * (2 + len(heads))]
    for what in sorted({row[:2] for row in outcomes}):
        cells = [{True: "yes", False: "NO", None: "-"}[outcomes.get(Row(*what, peer))] for peer in HEADINGS]
        lines.append(f"| {' | '.join([*what, *cells])} |")
    page.write_text(TEXT + "\n".join(lines) + "\n")


def rows_of_page() -> set[tuple[str, str]]:
    """Return what the page speaks of: features with their directions."""
    lines = PAGE.read_text().splitlines() if PAGE.exists() else []
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if line.startswith("|")]
    return {(row[0], row[1]) for row in cells[2:]}


def _version(package: str) -> str:
    return str(json.loads((node_modules() / package / "package.json").read_text())["version"])
