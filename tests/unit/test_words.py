"""Numbers with their nouns, and what a terminal may be sent."""

from __future__ import annotations

import os
import subprocess

import pytest

from jobd.words import cell_width, natural, nearest, plural, printable, shell_word


@pytest.mark.parametrize(("count", "text"), [(0, "0 queues"), (1, "1 queue"), (2, "2 queues")])
def test_one_is_not_several(count: int, text: str) -> None:
    assert plural(count, "queue") == text


def test_the_nearest_name_is_one_that_could_have_been_meant() -> None:
    assert nearest("concurency", ["workers", "concurrency"]) == "concurrency"
    assert nearest("x", ["workers", "concurrency"]) is None


def test_numbers_in_names_are_in_their_order() -> None:
    names = ["tenant-10", "tenant-2", "tenant", "10", "9b", "mail-2-x"]
    assert sorted(names, key=natural) == ["9b", "10", "mail-2-x", "tenant", "tenant-2", "tenant-10"]


def test_text_that_steers_a_terminal_is_shown_as_what_it_is() -> None:
    assert printable("a\x1b[2J\n\u202eb") == "a\\x1b[2J\\n\\u202eb"
    assert printable("ü 日本") == "ü 日本"


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("日本", 4), ("e\u0301", 1)])
def test_wide_and_combining_characters_have_their_width(text: str, cells: int) -> None:
    assert cell_width(text) == cells


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("7", "7"), ("a b", "'a b'"), ("a'b", "'a'\"'\"'b'"), ("ü", "'ü'"), ("a\x1b[2J'\\", "$'a\\u001b[2J\\'\\\\'"),
        ("\x9b", "$'\\u009b'"), ("\U000e0001", "$'\\U000e0001'"),
    ],
)  # fmt: skip
def test_a_word_of_a_command_line_is_shown_without_moving_the_cursor_and_read_back(text: str, word: str) -> None:
    assert shell_word(text) == word
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    read = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, env=env)
    assert read.stdout.decode() == text
