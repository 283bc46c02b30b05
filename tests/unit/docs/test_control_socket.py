from __future__ import annotations

import re
from pathlib import Path

from jobd.operations.reference import page
from jobd.operations.table import OPERATIONS

PAGE = Path(__file__).parents[3] / "docs" / "control-socket.md"


def test_the_page_is_what_the_table_makes() -> None:
    assert PAGE.read_text() == page(), "run: python -m jobd.operations.reference > docs/control-socket.md"


def test_the_page_has_every_method_and_no_dead_link() -> None:
    text = page()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert set(OPERATIONS) <= set(headings)
    anchors = [re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(anchors)
