"""Build the manual into site/: `make site`. A link that leads nowhere, or an anchor that is not there, fails it.

The pages keep the layout of the repository, so that a link works in both. Added to them are the pages made from the
code: commands, the reference of the client and of jobd.testing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

_PAGE = ".md"

NAV: dict[str, list[str]] = {
    "Start": ["README", "docs/testing", "CHANGELOG"],
    "Concepts": ["docs/lifecycle", "docs/processes", "docs/glossary"],
    "The file": ["docs/configuration"],
    "Handlers": ["docs/handlers", "docs/testing-reference"],
    "Client": ["docs/client", "docs/client-reference", "docs/schedules"],
    "Operating": [
        "docs/operating", "docs/commands", "docs/web", "docs/log-events", "docs/metrics", "docs/traces",
        "docs/control-socket", "docs/failure-modes", "SECURITY",
    ],
    "Deploying": ["docs/deploying", "systemd/README", "deploy/kubernetes/README"],
    "Moving over": [f"docs/moving/{page}" for page in ("celery", "rq", "arq", "dramatiq", "bullmq")],
    "Compatibility": ["docs/bullmq-compatibility", "docs/wire-format", "docs/benchmarks"],
    "Inside": ["docs/internals", "docs/decisions/README", "CONTRIBUTING"],
}  # fmt: skip
"""The places of the pages, without their ending. What is not named is put under "More", what is not there left out."""

_REFERENCES = {
    "docs/client-reference": ("The client, name by name", [
        "jobd.client.Queue", "jobd.client.AsyncQueue", "jobd.client.JobHandle", "jobd.client.Backoff",
        "jobd.client.Flow", "jobd.client.FlowHandle", "jobd.engine.add_options.AddOptions",
        "jobd.client.schedules.ScheduleOptions", "jobd.engine.job.JobRecord", "jobd.errors",
    ]),
    "docs/testing-reference": ("Jobs and tests, name by name", [
        "jobd.worker.handlers.job.Job", "jobd.testing.running.run", "jobd.testing.running.Done",
        "jobd.testing.fake_queue.FakeQueue", "jobd.testing.real_daemon.RealDaemon", "jobd.testing.plugin",
        "jobd.logging",
    ]),
}  # fmt: skip

_SHOWN = (".toml", ".py", ".ts", ".json", ".yaml", ".service", ".conf", ".txt", ".png", ".svg", ".md")
"""Files that pages may link to."""


def assemble(folder: Path) -> list[str]:
    """Copy pages, and what they link to, into `folder`; return the pages by their paths."""
    from jobd.cli.app import jobd
    from jobd.cli.manual import as_markdown

    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    ).stdout.splitlines()  # fmt: skip
    names = [name for name in listed if name.endswith(_SHOWN) and not name.startswith(("tests/", "."))]
    names += ["LICENSE", "Dockerfile", "Makefile"]
    for name in names:
        if not (ROOT / name).is_file():
            continue
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            to.write_text(_with_pages_for_folders((ROOT / name).read_text(), (ROOT / name).parent))
        else:
            shutil.copy(ROOT / name, to)
    (folder / "docs" / f"commands{_PAGE}").write_text(as_markdown(jobd))
    for page, (title, objects) in _REFERENCES.items():
        (folder / f"{page}{_PAGE}").write_text(f"# {title}\n\n" + "\n".join(f"::: {name}\n" for name in objects))
    return sorted(str(page.relative_to(folder)) for page in folder.rglob("*.md"))


def _with_pages_for_folders(text: str, home: Path) -> str:
    """A link to a folder leads to its README there; a site has no listings."""

    def page(match: re.Match[str]) -> str:
        target = match[1]
        is_folder = "://" not in target and (home / target).is_dir()
        return f"]({target.rstrip('/')}/README{_PAGE})" if is_folder else match[0]

    return re.sub(r"\]\(([^)#]+)\)", page, text)


def navigation(pages: list[str]) -> list[Any]:
    """Return the `nav` of the pages that are there."""
    wanted = {title: [f"{page}{_PAGE}" for page in row] for title, row in NAV.items()}
    named = {page for row in wanted.values() for page in row}
    rows: list[Any] = [{title: [page for page in row if page in pages]} for title, row in wanted.items()]
    decisions = [page for page in pages if page.startswith("docs/decisions/0")]
    more = [page for page in pages if page not in named and page not in decisions and page.startswith("docs/")]
    examples = [page for page in pages if page.startswith("examples/")]
    rows = [row for row in rows if next(iter(row.values()))]
    rows[-1]["Inside"] += [{"Decisions": decisions}] if decisions else []
    return [*rows, *([{"More": more}] if more else []), {"Examples": examples}]


def main() -> None:
    """Build the site, strictly."""
    with tempfile.TemporaryDirectory(prefix="jobd-site-") as name:
        folder = Path(name)
        pages = assemble(folder / "pages")
        configuration = yaml.safe_load((ROOT / "docs" / "mkdocs.yml").read_text())
        configuration |= {"docs_dir": "pages", "site_dir": "site", "nav": navigation(pages)}
        options = configuration["plugins"][1]["mkdocstrings"]["handlers"]["python"]["options"]
        options["extensions"] = [str(ROOT / "docs" / "griffe_sections.py") + ":Sections"]
        (folder / "mkdocs.yml").write_text(yaml.safe_dump(configuration))
        command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(folder / "mkdocs.yml")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            # Its own traceback says nothing of the pages.
            sys.exit(done.stdout + done.stderr.partition("Traceback")[0])
        target = Path(sys.argv[1]).absolute() if sys.argv[1:] else ROOT / "site"
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(folder / "site", target)


if __name__ == "__main__":
    main()
