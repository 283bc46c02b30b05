"""What README and the pages of docs/ show is typed, and what they show is what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.readme import Block, Kind, blocks, differs, steps
from tests.support.terminal import Terminal

_ROOT = Path(__file__).parents[2]
_PAGES = {
    str(page.relative_to(_ROOT)): blocks(page.read_text())
    for page in (_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md")))
}
_SESSIONS = list(
    dict.fromkeys((page, block.name) for page, all_ in _PAGES.items() for block in all_ if block.mark is Kind.RUN)
)


@pytest.mark.parametrize("page", _PAGES)
def test_every_console_block_says_whether_it_is_run(page: str) -> None:
    unmarked = [block.line for block in _PAGES[page] if block.language == "console" and block.mark is None]
    assert unmarked == [], f"{page}: no <!-- run: NAME --> or <!-- not run: REASON --> above lines {unmarked}"


@pytest.mark.parametrize(("page", "name"), _SESSIONS)
def test_a_page_runs_as_shown(page: str, name: str, short_tmp: Path) -> None:
    with Terminal.opened(short_tmp) as terminal:
        for block in _PAGES[page]:
            if block.name == name and block.mark is Kind.FILE:
                terminal.write(block.path, block.body)
            elif block.name == name and block.mark is Kind.RUN:
                _type(terminal, page, block)


def _type(terminal: Terminal, page: str, block: Block) -> None:
    for step in steps(block.body):
        printed = terminal.type(step.command, step.exit_code)
        missing = differs(step.shown, printed)
        assert missing is None, f"{page}:{block.line}\n$ {step.command}\nshown:   {missing}\nprinted: {printed}"
