"""The manual: it is built strictly, and holds what it must; tried in pages that are wrong, too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.more_packages import more_python

_ROOT = Path(__file__).parents[2]

_PAGE = ".md"

pytestmark = pytest.mark.timeout(300)


def test_the_site_is_built_and_no_link_leads_nowhere(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [more_python(), "docs/make_site.py", str(site)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    start = (site / "index.html").read_text()
    for page in ("docs/configuration.html", "docs/commands.html", "docs/moving/celery.html", "systemd/index.html"):
        assert (site / page).exists()
        assert page in start
    assert "jobd queue pause" in (site / "docs" / "commands.html").read_text()
    assert "answer_limit" in (site / "docs" / "client-reference.html").read_text()
    # Nothing is loaded from elsewhere: a manual must open on a machine without the Internet.
    assert not any(f'src="http{s}://' in start for s in ("", "s"))


@pytest.mark.parametrize("link", ["nowhere" + _PAGE, "docs/client.md#no-such-heading"])
def test_a_link_that_leads_nowhere_fails_it(link: str, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    (pages / "docs").mkdir(parents=True)
    (pages / f"index{_PAGE}").write_text(f"# Start\n\n[x]({link})\n")
    (pages / "docs" / "client.md").write_text("# The client\n")
    text = (_ROOT / "docs" / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(f"{text}\ndocs_dir: pages\nsite_dir: site\n")
    command = [more_python(), "-m", "zensical", "build", "--strict", "-f", "mkdocs.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "does not exist" in done.stderr
