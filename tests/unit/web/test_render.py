"""Pieces of pages: a moment is told as people say it and whole beside that; a state by a word, a shape and a tone."""

from __future__ import annotations

import re
import time

import pytest

from jobd.web.render import Renderer, View

PARTS = Renderer()._environment.globals


def text(name: str, *args: object) -> str:
    return str(PARTS[name](*args))  # type: ignore[operator]


def test_a_moment_is_relative_with_the_absolute_one_on_hover_and_for_machines() -> None:
    shown = text("when", 1_000 * int(time.time()) - 3_600_000)
    assert re.fullmatch(
        r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+00:00" title="\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC">'
        r"1h(0m)?( ?\d+s)? ago</time>",
        shown.strip(),
    ), shown
    assert "in 5" in text("when", 1_000 * int(time.time()) + 5 * 60_000 + 30_000)
    assert text("when", None).strip() == "-"


@pytest.mark.parametrize(
    ("word", "tone"),
    [("running", "on"), ("failed", "bad"), ("breaker", "bad"), ("paused", "off"), ("quiet", "off")],
)
def test_a_state_is_told_by_its_word_a_shape_and_a_tone(word: str, tone: str) -> None:
    shown = text("state", word)
    assert f'class="state state-{tone}"' in shown
    assert f"</svg>{word}</span>" in shown


def test_states_that_one_compares_have_shapes_of_their_own() -> None:
    words = ("running", "paused", "quiet", "draining", "degraded", "failed", "completed", "delayed", "waiting")
    assert len({re.sub(r"</svg>.*", "", text("state", word)[30:]) for word in words}) == len(words)


def test_what_a_template_is_given_is_escaped() -> None:
    context = {"title": "<b>", "text": "<script>", "lines": ["<i>"], "known": ["<u>"], "more": 0}
    frame = {
        "version": "1", "user": "<a>", "here": "/", "live_address": "/live/", "csrf": str, "may_change": False,
        "read_only": False, "daemon": None, "daemon_away": None, "running": [], "told": None,
    }  # fmt: skip
    html = Renderer().page(View("problem.html", context, 404, live=False), frame)
    assert not re.search(r"<(b|script|i|u|a)>", html)
