from __future__ import annotations

import re

from jobd.operations.reference import page
from jobd.operations.table import OPERATIONS


def test_the_page_has_every_method_and_no_dead_link() -> None:
    text = page()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert set(OPERATIONS) <= set(headings)
    anchors = [re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(anchors)
