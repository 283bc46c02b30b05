"""The few kinds of msgpack that scripts are sent: one word of several values costs Redis less than a word for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NIL = b"\xc0"
TRUE = b"\xc3"


def text(value: str | int) -> bytes:
    """Return a string, or a whole number as text: a script passes it on as it came, without a digit lost."""
    raw = b"%d" % value if isinstance(value, int) else value.encode("utf-8", "surrogateescape")
    size = len(raw)
    if size < 32:
        return _SHORT[size] + raw
    return b"\xdb" + size.to_bytes(4, "big") + raw


def array(values: Sequence[bytes]) -> bytes:
    """Return an array of at most 15 values."""
    return bytes((0x90 | len(values),)) + b"".join(values)


_SHORT = [bytes((0xA0 | size,)) for size in range(32)]
