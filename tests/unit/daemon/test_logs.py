from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jobd.config.model import LogFormat, LogLevel
from jobd.daemon import logs


@pytest.fixture(autouse=True)
def quiet_root() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)


class Pipe:
    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def text(self) -> str:
        os.set_blocking(self.read_end, False)
        parts = []
        while True:
            try:
                part = os.read(self.read_end, 1 << 20)
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts).decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for end in (made.read_end, made.write_end):
        if end >= 0:
            os.close(end)


log = logs.event_log("jobd.test")


def test_json_lines_have_the_event_and_its_fields(pipe: Pipe) -> None:
    logs.configure(LogFormat.JSON, LogLevel.INFO, fd=pipe.write_end)
    log.info("worker exited", queue="email", pid=7, exit=None, stages=["a", "b"])
    line = json.loads(pipe.text())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "event": "worker exited", "queue": "email", "pid": 7, "stages": ["a", "b"]}


def test_a_field_cannot_replace_level_or_event(pipe: Pipe) -> None:
    logs.configure(LogFormat.JSON, LogLevel.INFO, fd=pipe.write_end)
    log.info("x", level="forged", time="never")
    line = json.loads(pipe.text())
    assert line["level"] == "info"
    assert line["time"] != "never"


@pytest.mark.parametrize("log_format", [LogFormat.TEXT, LogFormat.JOURNAL, LogFormat.JSON])
def test_a_value_stays_on_its_line_whatever_is_in_it(pipe: Pipe, log_format: LogFormat) -> None:
    logs.configure(log_format, LogLevel.INFO, fd=pipe.write_end)
    log.info("worker output", line='a b\n<3>forged\x1b[31m "q"', other="k=v", empty="", half="\ud800")
    text = pipe.text()
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_text_is_for_people(pipe: Pipe) -> None:
    logs.configure(LogFormat.TEXT, LogLevel.INFO, fd=pipe.write_end)
    log.warning("worker exited", queue="email", reason="signal 9")
    assert pipe.text().partition(" ")[2] == 'warning worker exited  queue=email reason="signal 9"\n'


def test_what_a_worker_prints_is_shown_to_people_as_it_is(pipe: Pipe) -> None:
    logs.configure(LogFormat.TEXT, LogLevel.INFO, fd=pipe.write_end)
    log.info("output", queue="email", worker=1, pid=7, job="3", line='  File "shop.py", line 3\x1b[31m')
    log.info("output", queue="email", worker=1, pid=7, job=None, line="hello")
    shown = [line.partition(" ")[2] for line in pipe.text().splitlines()]
    assert shown == ['info    email.1 job 3:   File "shop.py", line 3\\x1b[31m', "info    email.1: hello"]


def test_an_error_of_several_lines_stands_below_its_event_and_forges_none(pipe: Pipe) -> None:
    logs.configure(LogFormat.TEXT, LogLevel.INFO, fd=pipe.write_end)
    log.warning("not reloaded", by="watch", error="1 problem\n\n  jobd.toml:3:1  no \x1b[31m\n00:00:00.000 info ready")
    first, *rest = pipe.text().splitlines()
    assert first.endswith("warning not reloaded  by=watch")
    assert rest == ["  1 problem", "", "    jobd.toml:3:1  no \\x1b[31m", "  00:00:00.000 info ready"]


def test_journal_lines_carry_priorities_also_in_tracebacks(pipe: Pipe) -> None:
    logs.configure(LogFormat.JOURNAL, LogLevel.DEBUG, fd=pipe.write_end)
    log.debug("d")
    log.info("i", n=1)
    log.warning("w")
    log.error("e")
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("failed")
    lines = pipe.text().splitlines()
    assert lines[:4] == ["<7>d", "<6>i n=1", "<4>w", "<3>e"]
    assert len(lines) > 6
    assert all(line.startswith("<3>") for line in lines[4:])
    assert lines[-1].endswith("ValueError: bad")


def test_lines_below_the_level_are_not_written(pipe: Pipe) -> None:
    logs.configure(LogFormat.JSON, LogLevel.WARNING, fd=pipe.write_end)
    log.info("no")
    log.warning("yes")
    assert [json.loads(line)["event"] for line in pipe.text().splitlines()] == ["yes"]


def test_configuring_again_replaces_the_output(pipe: Pipe) -> None:
    logs.configure(LogFormat.TEXT, LogLevel.INFO, fd=pipe.write_end)
    logs.configure(LogFormat.JSON, LogLevel.INFO, fd=pipe.write_end)
    log.info("once")
    assert json.loads(pipe.text())["event"] == "once"


def test_passwords_of_urls_are_masked_in_events_fields_and_tracebacks(pipe: Pipe) -> None:
    logs.configure(LogFormat.JSON, LogLevel.INFO, fd=pipe.write_end)
    url = "redis://user:hunter2@h:1/0"
    try:
        raise OSError(f"cannot reach {url} today")
    except OSError:
        log.exception(f"no {url}", url=url, tried=[url, "x"])
    text = pipe.text()
    assert "hunter2" not in text
    assert text.count("user:***@h") == 4


def test_a_reader_that_is_gone_does_not_stop_the_daemon(pipe: Pipe) -> None:
    logs.configure(LogFormat.JSON, LogLevel.INFO, fd=pipe.write_end)
    os.close(pipe.read_end)
    pipe.read_end = -1
    for number in range(100):
        log.info("nobody listens", number=number)
    logs.flush()


def test_a_reader_that_does_not_read_never_blocks_and_is_told_what_was_dropped(pipe: Pipe) -> None:
    logs.configure(LogFormat.JSON, LogLevel.INFO, fd=pipe.write_end)
    for number in range(3000):
        log.info("much", number=number, filler="x" * 1000)
    text = ""
    for _ in range(200):
        log.info("go on")
        text += pipe.text()
    events = [json.loads(line) for line in text.splitlines()]
    numbers = [event["number"] for event in events if event["event"] == "much"]
    assert numbers == list(range(len(numbers))), "what is written is in order and whole"
    assert 900 < len(numbers) < 3000
    dropped = next(event for event in events if event["event"] == "log lines dropped")
    assert dropped["count"] >= 3000 - len(numbers)


def test_auto_is_journal_under_systemd_and_json_in_a_pipe(pipe: Pipe) -> None:
    here = os.fstat(pipe.write_end)
    stream = {"JOURNAL_STREAM": f"{here.st_dev}:{here.st_ino}"}
    assert logs.decide_format(LogFormat.AUTO, pipe.write_end, stream) is LogFormat.JOURNAL
    assert logs.decide_format(LogFormat.AUTO, pipe.write_end, {"JOURNAL_STREAM": "1:2"}) is LogFormat.JSON
    assert logs.decide_format(LogFormat.AUTO, pipe.write_end, {}) is LogFormat.JSON
    assert logs.decide_format(LogFormat.TEXT, pipe.write_end, stream) is LogFormat.TEXT


def test_auto_is_text_on_a_terminal() -> None:
    leader, follower = os.openpty()
    try:
        assert logs.decide_format(LogFormat.AUTO, follower, {}) is LogFormat.TEXT
    finally:
        os.close(leader)
        os.close(follower)


def test_a_closed_output_is_survived() -> None:
    read_end, write_end = os.pipe()
    logs.configure(LogFormat.AUTO, LogLevel.INFO, fd=write_end)
    os.close(read_end)
    os.close(write_end)
    log.info("nowhere to go")


def test_closed_standard_descriptors_are_held_by_dev_null() -> None:
    code = (
        "import os, sys\nfrom jobd.daemon.logs import hold_standard_descriptors\n"
        "out = os.dup(1)\n[os.close(fd) for fd in (0, 1, 2)]\nhold_standard_descriptors()\n"
        "hold_standard_descriptors()\n"
        "os.write(out, ' '.join(os.readlink(f'/proc/self/fd/{n}') for n in range(3)).encode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["/dev/null"] * 3
