"""A terminal whose locale is not UTF-8: bars and lines are drawn with what its characters have."""

from __future__ import annotations

import codecs
import sys

from rich.cells import cell_len

_PLAIN = "jobd.plain"

_ALIKE = {
    **dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True)), **dict.fromkeys("─━═╌", "-"), **dict.fromkeys("│┃║╎", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"), "…": "~", "→": ">", "←": "<", "•": "*", "·": ".",
}  # fmt: skip


def draw_plainly() -> None:
    """Have the terminal's stream write what its encoding lacks as something alike of the same width."""
    codecs.register_error(_PLAIN, _alike)
    stream = sys.__stderr__  # what Textual writes to
    if stream is not None and hasattr(stream, "reconfigure") and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors=_PLAIN)


def _alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    drawn = "".join(_ALIKE.get(char) or "?" * cell_len(char) for char in error.object[error.start : error.end])
    return drawn, error.end
