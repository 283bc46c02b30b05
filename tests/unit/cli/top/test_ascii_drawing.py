"""What a terminal without UTF-8 gets: something alike, never wider."""

from __future__ import annotations

import io

import pytest

from jobd.cli.top.ascii_drawing import draw_plainly
from jobd.cli.top.drawing import chart


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("ascii", chart([0.0, 1.0, 4.0, 8.0], 4) + " ── a…b ├ é 漢", b"_.=# -- a~b + ? ??"),
        ("iso-8859-1", "─ é ▁", b"- \xe9 _"),
        ("utf-8", "─ é ▁", "─ é ▁".encode()),
    ],
)
def test_what_the_encoding_lacks(monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, written: bytes) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", write_through=True)
    monkeypatch.setattr("sys.__stderr__", stream)
    draw_plainly()
    stream.write(text)
    assert raw.getvalue() == written
