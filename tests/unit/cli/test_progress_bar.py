"""The bar of a long change: on a terminal and nowhere else."""

from __future__ import annotations

import io

import pytest

from jobd.cli.progress_bar import bar, waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "drawn"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_is_drawn_on_a_terminal_only(
    stream: io.StringIO, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with bar("retry") as tell:
        tell("what is no count")
        tell("5/20")
        tell("20/20")
    assert ("20/20" in stream.getvalue()) is drawn


def test_a_change_that_tells_nothing_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with bar("retry"):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("stream", "drawn"), [(Terminal(), True), (io.StringIO(), False)])
def test_a_wait_of_unknown_length_moves_on_a_terminal_only(
    stream: io.StringIO, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    told: list[str] = []
    with waiting("stop", told.append) as tell:
        assert stream.getvalue() == ""
        tell("waiting for 1 job (8s left)")
        tell("waiting for 1 job (7s left)")
    assert told == ["waiting for 1 job (8s left)", "waiting for 1 job (7s left)"]
    assert ("0:00:0" in stream.getvalue()) is drawn
