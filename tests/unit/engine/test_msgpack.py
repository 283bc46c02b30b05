"""The bytes of msgpack that a script is sent, by the format's specification."""

from __future__ import annotations

import pytest

from jobd.engine.msgpack import NIL, TRUE, array, text


@pytest.mark.parametrize(
    ("value", "packed"),
    [
        ("", b"\xa0"),
        ("x" * 31, b"\xbf" + b"x" * 31),
        ("x" * 32, b"\xdb\x00\x00\x00\x20" + b"x" * 32),
        ("ü", b"\xa2\xc3\xbc"),
        ("\udcff", b"\xa1\xff"),
        (1_795_486_443_666, b"\xad1795486443666"),
        (-5, b"\xa2-5"),
        (2**63, b"\xb39223372036854775808"),
    ],
)
def test_texts_and_numbers_are_strings(value: str | int, packed: bytes) -> None:
    assert text(value) == packed


def test_an_array_says_how_many_values_follow() -> None:
    assert array([text(1), NIL, TRUE]) == b"\x93\xa11\xc0\xc3"
