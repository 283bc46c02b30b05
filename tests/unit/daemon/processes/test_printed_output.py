"""What a worker prints: every line forwarded or counted, the end kept, the pipe always drained."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from jobd.daemon.processes.printed_output import KEPT_BYTES, RATE_LIMIT, Output


class Printed:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.dropped = 0

    def drop(self, count: int) -> None:
        self.dropped += count


def through_pipe(write: Callable[[int], None]) -> tuple[Printed, Output]:
    """Let `write` fill the pipe from a thread until it returns; the reading end is closed then."""

    async def run() -> tuple[Printed, Output]:
        printed = Printed()
        read_end, write_end = os.pipe()
        output = Output(read_end, printed.lines.append, printed.drop)
        try:
            await asyncio.to_thread(write, write_end)
        finally:
            os.close(write_end)
        output.close()
        output.close()
        return printed, output

    return asyncio.run(run())


def writer(*chunks: bytes) -> Callable[[int], None]:
    def write(fd: int) -> None:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(fd, view) :]

    return write


def test_lines_come_whole_however_they_were_written():
    printed, _ = through_pipe(writer(b"one\ntw", b"o\r\n\nthree"))
    assert printed.lines == ["one", "two", "", "three"]


def test_bytes_that_are_no_text_do_not_end_it():
    printed, _ = through_pipe(writer(b"\xff\xfe ok\n"))
    assert printed.lines == ["\ufffd\ufffd ok"]


def test_a_line_without_an_end_is_cut_into_pieces_and_nothing_is_lost():
    printed, _ = through_pipe(writer(b"x" * 100_000))
    assert "".join(printed.lines) == "x" * 100_000
    assert max(map(len, printed.lines)) <= 16 * 1024


def test_the_end_is_kept_for_the_report():
    printed, output = through_pipe(writer(*(b"line %d\n" % number for number in range(50_000))))
    assert output.last_lines(2) == ["line 49998", "line 49999"]
    assert len(output._kept) <= 2 * KEPT_BYTES
    assert len(printed.lines) == 50_000


def test_a_flood_is_read_to_its_end_and_what_is_too_much_is_counted():
    lines = 3 * RATE_LIMIT // 1000
    printed, output = through_pipe(writer(*(b"%0999d\n" % number for number in range(lines))))
    assert len(printed.lines) + printed.dropped == lines
    assert output.last_lines(1) == [f"{lines - 1:0999d}"]
