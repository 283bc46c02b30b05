"""What the suite found, as a table: `make interop` writes docs/bullmq-compatibility.md from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.compatibility import Row, row_of, write_page

_outcomes = pytest.StashKey[dict[Row, bool]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_outcomes] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:  # fmt: skip
    report: pytest.TestReport = yield  # type: ignore[misc]
    for row in row_of(item):
        outcomes = item.config.stash[_outcomes]
        outcomes[row] = outcomes.get(row, True) and report.outcome == "passed"
    return report  # type: ignore[return-value]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compatibility-page", metavar="FILE", help="write the table of what passed here")


def pytest_sessionfinish(session: pytest.Session) -> None:
    page = session.config.getoption("--compatibility-page", default=None)
    if page:
        write_page(Path(page), session.config.stash[_outcomes])
