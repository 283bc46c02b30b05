"""What pages and docstrings name exists: files, sections, commands and their options, keys of the file, log events."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from docs.make_pages import log_calls
from jobd.cli.app import jobd
from jobd.config.schema import schema
from tests.support.readme import blocks

_ROOT = Path(__file__).parents[3]
_TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=_ROOT, capture_output=True, text=True, check=True,
).stdout.splitlines()  # fmt: skip
_PAGES = sorted(path for path in _TRACKED if path.endswith(".md") and (_ROOT / path).exists())
_CODE = sorted(
    path
    for path in _TRACKED
    if path.startswith(("jobd/", "tests/", "docs/", "benchmarks/", "examples/", "systemd/"))
    and path.endswith((".py", ".lua", ".toml", ".service", ".conf", ".sh", ".ts", ".cjs"))
    and (_ROOT / path).exists()
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|md|lua|toml|service|conf|cjs|ts|yaml|yml|sh)")
_SECTION = re.compile(r'((?:docs/)?[\w/-]+\.md)((?:(?:,| and) "[^"]+")+)')
_HISTORY = ("CHANGELOG.md",)
"""Pages that tell what was; names in them may be gone."""

_OF_USERS = frozenset({
    "jobs.py", "test_jobs.py", "mail.py", "shop.py", "app.py", "add.py", "email.py", "queue.py", "types.py", "redis.py",
    "NAME.toml", "other.toml", "settings.py", "tasks.py",
})  # fmt: skip
"""Names of files that a user has, or that a page makes up."""

_TO_COME: frozenset[str] = frozenset()
"""Pages that are being written."""


def _prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^(```+).*?^\1$", "", (_ROOT / page).read_text(), flags=re.M | re.S)


@cache
def _anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def _headings(page: str) -> set[str]:
    return {heading.strip() for heading in re.findall(r"^#+ (.+)$", _prose(page), re.M)}


@pytest.mark.parametrize("page", _PAGES)
def test_links_lead_somewhere(page: str) -> None:
    wrong = []
    for target in _LINK.findall(_prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = ((_ROOT / page).parent / path).resolve() if path else _ROOT / page
        if not file.exists():
            wrong.append(target)
        elif anchor and anchor not in _anchors(str(file.relative_to(_ROOT))):
            wrong.append(f"{target}: no such section")
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in _PAGES if page not in _HISTORY])
def test_files_that_a_page_names_exist(page: str) -> None:
    named = [span for span in _SPAN.findall(_prose(page)) if _FILE.fullmatch(span)]
    assert [name for name in named if not _is_a_file(name, page) and Path(name).name not in _OF_USERS] == []


def _is_a_file(name: str, page: str) -> bool:
    """Whether it is a path from the root, docs/, jobd/ or its engine, beside the page, or the name of a unique file."""
    folders = ("", "docs", "jobd", "jobd/engine", "jobd/engine/lua")
    nearby = (*(_ROOT / folder for folder in folders), (_ROOT / page).parent)
    if any((folder / name).exists() for folder in nearby):
        return True
    return "/" not in name and any(Path(path).name == name for path in _TRACKED)


@pytest.mark.parametrize("path", [*_CODE, *(page for page in _PAGES if page not in _HISTORY)])
def test_sections_that_are_quoted_exist(path: str) -> None:
    text = " ".join(re.sub(r"^\s*(#|--|//|\*)", " ", line) for line in (_ROOT / path).read_text().splitlines())
    text = re.sub(r"\s+", " ", text)
    wrong = []
    for page, sections in _SECTION.findall(text):
        if not (_ROOT / page).exists():
            wrong.append(page)
            continue
        wrong += [f"{page}, {name}" for name in re.findall(r'"([^"]+)"', sections) if name not in _headings(page)]
    assert wrong == []


@pytest.mark.parametrize("path", _CODE)
def test_pages_that_code_names_exist(path: str) -> None:
    named = set(re.findall(r"[\w./-]*\w\.md\b", (_ROOT / path).read_text()))
    if path.startswith("tests/unit/docs/"):
        return
    assert sorted(name for name in named - _TO_COME if not _is_a_file(name, path)) == []


def _lines_of_commands(page: str) -> Iterator[str]:
    """What a page tells to type: spans that begin with `jobd`, lines of consoles, indented lines of old form."""
    text = (_ROOT / page).read_text()
    spans = _SPAN.findall(_prose(page))
    yield from (span for span in spans if span.split()[0] == "jobd" and span not in _log_events())
    for block in blocks(text):
        if block.language in ("console", "bash", "sh", ""):
            yield from (line.strip().removeprefix("$ ") for line in block.body.splitlines() if _is_jobd(line))
    yield from (line.strip() for line in _prose(page).splitlines() if line.startswith("    ") and _is_jobd(line))


def _is_jobd(line: str) -> bool:
    return line.strip().removeprefix("$ ").startswith("jobd ") and "  jobd" not in line.lstrip()


@pytest.mark.parametrize("page", [page for page in _PAGES if page not in _HISTORY])
def test_commands_and_their_options_exist(page: str) -> None:
    assert [f"{line}: {why}" for line in _lines_of_commands(page) if (why := _unknown(line))] == []


def _unknown(line: str) -> str | None:
    """What of a command line does not exist; None when all does, as far as it can be told."""
    words = line.partition(" #")[0].split()[1:]
    command: click.Command = jobd
    context = click.Context(jobd)
    for word in words:
        if word.startswith("-") or not isinstance(command, click.Group):
            break
        if "|" in word or not re.fullmatch(r"[a-z-]+", word):
            return None
        found = command.get_command(context, word)
        if found is None:
            # The first line of `status` and `version` begins with the name, too.
            return f"no command {word}"
        command = found
    known = {option for parameter in [*command.params, *jobd.params] for option in parameter.opts}
    options = [word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z-]+(=.*)?", word)]
    missing = [option for option in options if option not in known and option not in ("--help", "--version")]
    return f"no option {missing[0]}" if missing else None


@cache
def _keys() -> dict[str, set[str]]:
    """Every key of the file by its table, and all of them under ""."""
    found: dict[str, set[str]] = {"": set()}
    document = schema()
    for name, definition in [("file", document), *document["$defs"].items()]:
        found[name] = set(definition.get("properties", {}))
        found[""] |= found[name]
    return found


@pytest.mark.parametrize("page", [page for page in _PAGES if page not in _HISTORY])
def test_keys_of_the_file_exist(page: str) -> None:
    prose = _prose(page)
    inline = [found[1] for span in _SPAN.findall(prose) if (found := re.match(r"([a-z_]{3,}) = ", span))]
    tables = [found[1] for span in _SPAN.findall(prose) if (found := re.match(r"\[(?:\w+)\] ([a-z_]+)$", span))]
    assert [key for key in inline + tables if key not in _keys()[""]] == []
    for line in prose.splitlines():
        if _in_a_table_of_keys(prose, line):
            assert [key for key in _SPAN.findall(line.split("|")[1]) if key not in _keys()[""]] == []
    for block in blocks((_ROOT / page).read_text()):
        if block.language == "toml":
            wrong = [key for key in _keys_of(tomllib.loads(block.body)) if key not in _keys()[""]]
            assert wrong == [], f"{page}:{block.line}"


def _in_a_table_of_keys(prose: str, line: str) -> bool:
    """Whether the line is a row of a table whose first column is called key."""
    if not line.startswith("| "):
        return False
    before = prose[: prose.index(line)].rstrip("\n").split("\n\n")[-1].splitlines()
    return bool(before) and re.match(r"\| (?:\w+ )?key \|", before[0]) is not None


_NAMED_BY_USERS = frozenset({"queues", "presets", "schedules", "jobs", "env", "data"})


def _keys_of(table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield key
        for inner in value.values() if key in _NAMED_BY_USERS and isinstance(value, dict) else [value]:
            if isinstance(inner, dict) and key not in ("env", "data"):
                yield from _keys_of(inner)


@cache
def _log_events() -> set[str]:
    return {call.event for room in ("daemon", "worker") for call in log_calls(room)}


@pytest.mark.parametrize("page", [page for page in _PAGES if page not in _HISTORY])
def test_log_events_exist(page: str) -> None:
    text = re.sub(r"\s+", " ", _prose(page))
    named = re.findall(r"\blog(?:s|ged)? (?:event )?`([^`]+)`", text)
    assert [event for event in named if event not in _log_events() and not event.startswith(("jobd ", "="))] == []


def test_nothing_points_outside_the_repository() -> None:
    outside = re.compile(r"\b(?:interface|design|style|pains)\.md\b|\(wire-format\.md \d|/work/")
    files = [*_CODE, *_PAGES, "pyproject.toml", "Makefile"]
    found = [path for path in files if outside.search((_ROOT / path).read_text())]
    assert [path for path in found if not path.startswith("tests/unit/docs/")] == []
