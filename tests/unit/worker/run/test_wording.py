"""Reasons and tracebacks, whatever an exception does."""

from __future__ import annotations

import pytest

from jobd.worker.handlers.payload import TEXT_MAX, bounded
from jobd.worker.run.wording import reason_of, trace_of


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no luck"), "no luck"),
        (ValueError(""), "ValueError"),
        (ValueError("  "), "ValueError"),
        (KeyError("userId"), "KeyError: 'userId'"),
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit(), "SystemExit"),
        (Mute(), "Mute (its text cannot be made: RuntimeError)"),
        (ValueError("half \ud800"), "half \\ud800"),
    ],
)
def test_reason(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason


def test_trace_of_an_exception_that_cannot_be_shown_says_so() -> None:
    assert "Mute" in trace_of(Mute())


@pytest.mark.parametrize("sign", ["x", "é", "🎈", "\ud800"])
def test_long_text_keeps_head_and_tail_within_the_bound(sign: str) -> None:
    cut = bounded(f"head{sign * 100_000}tail")
    assert len(cut.encode()) <= TEXT_MAX
    assert cut.startswith("head")
    assert cut.endswith("tail")
    assert "… cut by jobd: 100008 characters …" in cut


def test_text_of_exactly_the_bound_is_kept_whole() -> None:
    assert bounded("x" * TEXT_MAX) == "x" * TEXT_MAX
