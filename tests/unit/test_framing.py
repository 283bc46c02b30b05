from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from jobd.errors import ProtocolError
from jobd.protocol import framing

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    left, right = framing.pair()
    yield left, right
    left.close()
    right.close()


@pytest.mark.parametrize("text", ["", "ü", "\ud800", "x" * framing.INLINE_MAX, "x" * 5_000_000])
def test_message_of_any_size_arrives_whole(ends: Ends, text: str) -> None:
    framing.send(ends[0], {"text": text})
    assert framing.receive(ends[1]) == ({"text": text}, [])


@pytest.mark.parametrize("size", [10, 100_000])
def test_descriptors_arrive_beside_the_message(ends: Ends, size: int) -> None:
    read_end, write_end = os.pipe()
    framing.send(ends[0], {"text": "x" * size}, (read_end, write_end))
    packet = framing.receive(ends[1])
    assert packet is not None
    os.write(packet[1][1], b"through")
    assert os.read(read_end, 10) == b"through"
    framing.close_all([read_end, write_end, *packet[1]])


def test_messages_keep_their_order_and_borders(ends: Ends) -> None:
    for number in range(20):
        framing.send(ends[0], {"n": number})
    assert [framing.receive(ends[1]) for _ in range(20)] == [({"n": number}, []) for number in range(20)]


def test_end_of_file_is_none(ends: Ends) -> None:
    framing.send(ends[0], {"last": 1})
    ends[0].close()
    assert framing.receive(ends[1]) == ({"last": 1}, [])
    assert framing.receive(ends[1]) is None


@pytest.mark.parametrize(
    "packet", [b"J", b"J{", b"J[1]", b"Jnull", b"X{}", b"M", b"{}", b"J\xff", b"J" + b"[" * 40_000]
)
def test_bytes_that_are_no_message_are_a_protocol_error(ends: Ends, packet: bytes) -> None:
    ends[0].send(packet)
    with pytest.raises(ProtocolError):
        framing.receive(ends[1])


def test_packet_longer_than_agreed_is_a_protocol_error(ends: Ends) -> None:
    ends[0].send(b"J" + b"1" * (framing.INLINE_MAX + 10))
    with pytest.raises(ProtocolError):
        framing.receive(ends[1])


def test_descriptors_of_a_bad_packet_are_closed(ends: Ends) -> None:
    before = os.listdir("/proc/self/fd")
    read_end, write_end = os.pipe()
    socket.send_fds(ends[0], [b"nonsense"], [read_end, write_end])
    with pytest.raises(ProtocolError):
        framing.receive(ends[1])
    framing.close_all([read_end, write_end])
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_sending_leaks_no_descriptor(ends: Ends) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        framing.send(ends[0], {"text": "x" * 100_000})
        framing.receive(ends[1])
    assert len(os.listdir("/proc/self/fd")) == before


def test_full_buffer_of_a_nonblocking_socket_is_told(ends: Ends) -> None:
    ends[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        for _ in range(10_000):
            framing.send(ends[0], {"text": "x" * 40_000})


def test_nothing_to_receive_on_a_nonblocking_socket_is_told(ends: Ends) -> None:
    ends[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        framing.receive(ends[1])


def test_other_end_gone_is_an_error_of_the_sender(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(OSError, match="pipe"):
        framing.send(ends[0], {})
