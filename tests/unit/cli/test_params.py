from __future__ import annotations

from pathlib import Path

import click
import pytest

from jobd.cli.commands.job_add import _bare_wait
from jobd.cli.params import dash_number_last, parse_json, read_payload


def test_without_a_payload_data_is_an_empty_object() -> None:
    assert read_payload(None) == {}


def test_a_payload_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"userId": 7}\n')
    assert read_payload(f"@{file}") == {"userId": 7}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": }', "line 1 column 7"),
        ('{"a": 1,\n "b" 2}', "line 2 column 6"),
        ("", "it is empty"),
        (b" \n", "it is empty"),
        ('"\udc80"', "byte 2 is not UTF-8"),
        ("NaN", "NaN is no JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "digits"),
        (b"\xff{}", "byte 1 is not UTF-8"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(text: str | bytes, told: str) -> None:
    with pytest.raises(click.UsageError, match=r"the data is not JSON") as caught:
        parse_json(text, "the data")
    assert told in caught.value.message


def test_the_caret_stands_under_the_place_of_a_long_line() -> None:
    with pytest.raises(click.UsageError) as caught:
        parse_json('{"' + "x" * 200 + '": oops}', "the data")
    _, line, caret = caught.value.message.split("\n")
    assert line[caret.index("^")] == "o"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["q", "n", "--wait"], ["q", "n", "--wait="]),
        (["q", "n", "--wait", '{"a": 1}'], ["q", "n", "--wait=", '{"a": 1}']),
        (["q", "n", "--wait", "30s"], ["q", "n", "--wait=30s"]),
        (["q", "n", "--wait", "30"], ["q", "n", "--wait=", "30"]),
        (["q", "n", "--wait=5s"], ["q", "n", "--wait=5s"]),
        (["q", "n", "--", "--wait"], ["q", "n", "--", "--wait"]),
    ],
)
def test_wait_takes_a_duration_and_leaves_json_alone(words: list[str], wanted: list[str]) -> None:
    assert _bare_wait(words) == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["email", "-1", "--json"], ["email", "--json", "--", "-1"]),
        (["email", "+2"], ["email", "+2"]),
        (["email", "--", "-1"], ["email", "--", "-1"]),
    ],
)
def test_minus_one_is_a_number_and_no_option(words: list[str], wanted: list[str]) -> None:
    assert dash_number_last(words) == wanted
