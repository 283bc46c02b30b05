"""The reader in Python reads what hiredis reads, however the bytes are cut."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError

from jobd.engine.trouble import Trouble, trouble_of
from jobd.worker.fetch.resp import PythonReader, Replies


def written(value: Any) -> bytes:
    """Return a reply as Redis writes it."""
    match value:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % value
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(value), value)
        case list():
            return b"*%d\r\n%s" % (len(value), b"".join(map(written, value)))
    raise AssertionError(value)


replies = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=4)
)


def read(reader: Any, chunks: list[bytes]) -> list[Any]:
    got = []
    for chunk in chunks:
        reader.feed(chunk)
        while (reply := reader.gets()) is not False:
            got.append(reply)
    return got


@given(st.lists(replies, max_size=4), st.lists(st.integers(0, 400), max_size=8))
def test_replies_are_what_hiredis_reads_wherever_the_bytes_are_cut(values: list[Any], cuts: list[int]) -> None:
    data = b"".join(map(written, values))
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    chunks = [data[start:end] for start, end in pairwise(places)]
    assert read(PythonReader(), chunks) == read(hiredis.Reader(), chunks) == values


def test_every_byte_by_itself() -> None:
    value = [b"a\r\nb", None, [1, [b"", -5]], b"x" * 20]
    data = written(value)
    assert read(PythonReader(), [data[at : at + 1] for at in range(len(data))]) == [value]


def test_status_and_error_replies() -> None:
    status, error, other, missing = read(
        PythonReader(), [b"+OK\r\n-NOSCRIPT No matching script\r\n-WRONGTYPE of a key\r\n*-1\r\n"]
    )
    assert (status, missing) == (b"OK", None)
    assert type(error) is NoScriptError
    assert isinstance(other, ResponseError)
    assert "WRONGTYPE" in str(other) or isinstance(other, RedisError)


def test_what_is_no_reply_is_told() -> None:
    reader = PythonReader()
    reader.feed(b"HTTP/1.1 400\r\n")
    with pytest.raises(InvalidResponse):
        reader.gets()


def test_a_large_value_is_not_searched_again_with_every_piece() -> None:
    reader = PythonReader()
    reader.feed(b"$1000000\r\n" + b"x" * 10)
    assert reader.gets() is False
    reader._next = lambda: pytest.fail("looked before it could be whole")  # type: ignore[method-assign]
    for _ in range(5):
        reader.feed(b"y" * 100_000)
        assert reader.gets() is False


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (b"", Trouble.AWAY),
        (b":1\r\n", Trouble.AWAY),
        (b"-UNBLOCKED force unblock from blocking operation, instance state changed\r\n", Trouble.READ_ONLY),
    ],
)
def test_what_the_server_said_before_it_closed_is_why_the_rest_has_no_answer(said: bytes, trouble: Trouble) -> None:
    class Transport:
        def set_protocol(self, protocol: Any) -> None: ...

        def write(self, data: bytes) -> None: ...

    async def main() -> BaseException | None:
        told: list[None] = []
        replies = Replies(Transport(), lambda: told.append(None))  # type: ignore[arg-type]
        first, second = replies.ask(b"", 2), replies.ask(b"", 1)
        replies.data_received(said)
        replies.connection_lost(None)
        assert type(first.exception()) is type(second.exception())
        assert told == [], "it was not idle"
        return first.exception()

    error = asyncio.run(main())
    assert isinstance(error, RedisError)
    assert trouble_of(error) is trouble


def test_replies_are_offered_first_and_what_is_not_taken_is_awaited() -> None:
    async def main() -> None:
        class Transport:
            def set_protocol(self, protocol: Any) -> None: ...

            def write(self, data: bytes) -> None: ...

        replies = Replies(Transport(), lambda: None)  # type: ignore[arg-type]
        offered: list[list[Any]] = []

        def take_the_first(mine: list[Any]) -> bool:
            offered.append(mine)
            return len(offered) == 1

        first, second = replies.ask(b"", 1, take_the_first), replies.ask(b"", 2, take_the_first)
        third = replies.ask(b"", 1)
        replies.data_received(b":1\r\n:2\r\n:3\r\n:4\r\n")
        assert offered == [[1], [2, 3]]
        assert (first.done(), second.result(), third.result()) == (False, [2, 3], [4])
        assert replies.oldest is None

    asyncio.run(main())
