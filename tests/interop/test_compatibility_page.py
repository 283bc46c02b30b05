"""The published table speaks of every feature that this suite asks for, and says yes."""

from __future__ import annotations

import pytest

from tests.interop.compatibility import PAGE, row_of, rows_of_page


def test_every_feature_asked_here_is_on_the_page(request: pytest.FixtureRequest) -> None:
    asked = {(row.feature, row.direction) for item in request.session.items for row in row_of(item)}
    assert asked <= rows_of_page(), "run: make interop"


def test_the_page_says_no_nowhere() -> None:
    assert "| NO |" not in PAGE.read_text()
