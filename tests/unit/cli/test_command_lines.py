"""What a command line says before anything is contacted: help, names, options, usage errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from jobd.cli import main
from jobd.cli.app import jobd
from jobd.cli.click_commands import Group


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("JOBD_CONFIG", "JOBD_SOCKET", "JOBD_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def _paths(group: Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, Group):
            yield from _paths(command, (*path, name))
        else:
            yield (*path, name)


_ALL = sorted(_paths(jobd))


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_help_of_every_command_begins_with_examples(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    if path != ("queue", "drain"):
        assert shown.startswith("Examples:\n  jobd ")
    assert "\nUsage: jobd" in shown
    assert "--socket PATH" in shown


@pytest.mark.parametrize("name", ["queue", "job", "worker", "host", "schedule", "config"])
def test_the_first_page_of_help_names_every_command_of_a_group(name: str) -> None:
    group = jobd.get_command(None, name)  # type: ignore[arg-type]
    assert jobd.homes[name][1].split(", ") == [verb for verb, (_, text) in group.homes.items() if text]  # type: ignore[union-attr]


@pytest.mark.parametrize("path", [path for path in _ALL if path and path[-1] != "drain"] + [("drain",)], ids=" ".join)
def test_an_unknown_option_is_a_usage_error(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--bogus"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "--bogus" in shown.err
    assert shown.err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "suggested"),
    [(["stauts"], "status"), (["queue", "pauze", "email"], "pause"), (["job", "ad", "q", "n"], "add")],
)
def test_an_unknown_command_names_the_nearest_one(
    words: list[str], suggested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert f'did you mean "{suggested}"?' in capsys.readouterr().err


def test_a_usage_error_is_a_document_in_json_mode(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "pause", "--json"]) == 2
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["schema"], document["error"]["code"], document["error"]["detail"]) == (1, "usage", {})
    assert shown.err == ""


@pytest.mark.parametrize(
    "words",
    [["queue", "drain"], ["queue", "drain", "email"], ["queue", "drain", "email", "--delayed", "--yes"],
     ["--redis", "bad://", "queue", "drain"]],
)  # fmt: skip
def test_queue_drain_says_what_it_would_be_here(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert "queue empty" in shown
    assert "queue quiet" in shown


@pytest.mark.parametrize(
    "words",
    [
        ["job", "retry", "email"],
        ["job", "remove", "email", "--yes"],
        ["job", "retry", "email", "7", "--state", "failed"],
        ["job", "retry", "email", "--state", "failed"],
        ["job", "remove", "email", "--all"],
        ["stop", "--now", "--grace", "5s"],
        ["stop", "--grace", "5"],
        ["queue", "scale", "email"],
        ["queue", "scale", "email", "many"],
        ["queue", "scale", "email", "3", "--reset"],
        ["job", "add", "email"],
        ["job", "add", "email", "n", "{not json}"],
        ["job", "add", "email", "n", "@/nowhere/at.all"],
        ["job", "add", "email", "n", "--wait=soon"],
        ["job", "add", "email", "n", "--timeout", "5s"],
        ["job", "add", "email", "n", "--wait=3s", "--timeout", "5s"],
        ["job", "add", "email", "n", '"\udc80"'],
        ["job", "add", "email", "n", "--keep-failed", "some"],
        ["job", "add", "email", "n", "--backoff", "cubic:5s"],
        ["job", "list", "email", "--state", "gone"],
        ["exec", "email", "n", "{}", "--job", "7"],
        ["--color", "queue"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_2_before_anything_is_contacted(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "no daemon answers" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [(["queue", "clean", "email"], "option '--state': one of completed, failed, waiting,"),
     (["worker", "show", "abc"], "'abc' is not a whole number")],
)  # fmt: skip
def test_a_usage_error_is_two_lines_in_plain_words(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    error, see = capsys.readouterr().err.splitlines()
    assert told in error
    assert see.startswith("see: jobd ")


@pytest.mark.parametrize("words", [["status"], ["health"], ["health", "--live"]])
def test_no_daemon_is_exit_3_for_status_and_health(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--socket", "here.sock", *words]) == 3
    shown = capsys.readouterr()
    assert "here.sock" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    "words",
    [["plan"], ["reload"], ["stop"], ["drain"], ["worker", "list"], ["queue", "quiet", "q"], ["queue", "unquiet", "q"],
     ["queue", "scale", "q", "-1"]],
)  # fmt: skip
def test_no_daemon_is_exit_69_where_one_is_needed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--socket", "here.sock", "--json"]) == 69
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "daemon-away"
    assert error["detail"]["tried"][0]["path"].endswith("here.sock")


@pytest.mark.parametrize("words", [["queue", "list"], ["job", "list", "email"], ["job", "add", "email", "n"]])
def test_no_daemon_and_no_redis_is_exit_78(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--socket", "here.sock"]) == 78
    assert "$JOBD_REDIS_URL" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["check"], ["run"], ["config", "show"], ["exec", "q", "n"]])
def test_no_file_is_exit_78(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 78
    assert "jobd init" in capsys.readouterr().err


def test_a_redis_that_does_not_answer_is_exit_69(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--redis", "unix:///nowhere/r.sock", "queue", "list"]) == 69
    assert "Redis did not answer" in capsys.readouterr().err


def test_options_stand_before_and_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--socket", "a.sock", "status"]) == 3
    before = capsys.readouterr().out
    assert main(["status", "--json", "--socket", "a.sock"]) == 3
    assert capsys.readouterr().out == before


def test_version_tells_the_layout_of_bullmq(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"schema", "jobd", "python", "redis_py", "bullmq_layout"}
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jobd {document['jobd']}\n"
