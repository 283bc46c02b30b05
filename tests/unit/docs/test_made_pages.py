from __future__ import annotations

import pytest

from docs.make_pages import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_what_the_code_makes(page: str) -> None:
    assert (ROOT / page).read_text() == PAGES[page](), "run: make docs"
