"""The daemon's log: a fixed event phrase and fields, one line each, to standard output.

A reader that stops reading must not stop the daemon, which renews locks: a line that standard output cannot take at
once is kept for later, at most 1 MiB, and what does not fit any more is dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobd.config.model import LogFormat, LogLevel
from jobd.locate import redact
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KEPT_BYTES = 1024 * 1024
"""What waits for a reader that does not read: some thousand lines."""

_SAFE_WRITE = 4096
"""A pipe that poll(2) calls writable takes a page without blocking (pipe(7))."""

_FLUSH_MS = 1000
"""How long the last lines may take at the end."""

LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
_OF_LINES = ("error", "output")
"""Fields that may be texts of several lines, made by jobd or by what it starts."""
_JOURNAL_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class EventLog:
    """Writes events: `log.info("worker exited", queue="email", pid=7)`. A field that is None is left out."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        """Log what only somebody who searches for a fault wants to see; may hold job ids, never job data."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log what happened as it should; never job data."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what a person may have to look at."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log what a person has to look at."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        self._log(logging.ERROR, event, fields, with_traceback=True)

    def _log(self, level: int, event: str, fields: Mapping[str, Any], *, with_traceback: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, exc_info=with_traceback, extra={"fields": fields})


def event_log(name: str) -> EventLog:
    """Return the log of one part of the daemon; `name` is the module's `__name__`."""
    return EventLog(name)


def hold_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are open, on /dev/null where they were closed; call it before anything is opened.

    Else the next socket would get such a number, and log lines would be written into it.
    """
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)


def configure(log_format: LogFormat, level: LogLevel, *, fd: int = 1) -> None:
    """Make every log line from now on go to `fd` in this format; calling it again replaces format and level."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _OutputHandler)]:
        root.removeHandler(handler)
        handler.close()
    root.addHandler(_OutputHandler(fd, formatter_for(decide_format(log_format, fd, os.environ))))
    root.setLevel(LEVELS[level])
    # Third parties log at debug what may hold commands, and commands hold job data.
    for name in ("asyncio", "redis", "watchfiles"):
        logging.getLogger(name).setLevel(max(logging.WARNING, LEVELS[level]))


def remember(memory: logging.Handler) -> None:
    """Have another handler take every line as well, instead of an earlier one of its kind."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler) is type(memory)]:
        root.removeHandler(handler)
    root.addHandler(memory)


def flush() -> None:
    """Give a slow reader of standard output a second to take what is left."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _OutputHandler):
            handler.output.drain(_FLUSH_MS)


def decide_format(log_format: LogFormat, fd: int, env: Mapping[str, str]) -> LogFormat:
    """Return what `auto` means for this output: text on a terminal, journal under systemd, else JSON."""
    if log_format is not LogFormat.AUTO:
        return log_format
    with contextlib.suppress(OSError):
        if os.isatty(fd):
            return LogFormat.TEXT
        # systemd.exec(5): device and inode of the stream that goes to the journal.
        here = os.fstat(fd)
        if env.get("JOURNAL_STREAM") == f"{here.st_dev}:{here.st_ino}":
            return LogFormat.JOURNAL
    return LogFormat.JSON


def formatter_for(log_format: LogFormat) -> logging.Formatter:
    """Return the formatter of a decided format."""
    if log_format is LogFormat.TEXT:
        return TextFormatter()
    return JournalFormatter() if log_format is LogFormat.JOURNAL else JsonFormatter()


class TextFormatter(logging.Formatter):
    """`12:00:01.042 info    worker exited  queue=email pid=7`: for people at a terminal.

    What a worker prints is shown as it is, `email.0 job 7: half way`; an error of several lines stands below its event.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end; further lines are indented."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        head = f"{moment:%H:%M:%S}.{int(record.msecs):03d} {record.levelname.lower():<7} "
        fields = _fields(record)
        if record.getMessage() == "output" and "line" in fields:
            return head + _printed(fields)
        below = [fields.pop(name) for name in _OF_LINES if "\n" in str(fields.get(name))]
        lines = ["\n" + f"  {printable(line)}".rstrip() for text in below for line in _shown(text).splitlines()]
        return head + _phrase_and_fields(record, fields, "  ") + "".join(lines) + _indented(self, record, "\n  ")


class JournalFormatter(logging.Formatter):
    """`<6>worker exited queue=email pid=7`: sd-daemon(3) prefixes; the journal adds the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end; each line of a traceback carries the priority too."""
        priority = f"<{_JOURNAL_PRIORITY.get(record.levelno, 6)}>"
        return priority + _phrase_and_fields(record, _fields(record), " ") + _indented(self, record, f"\n{priority}  ")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `event`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        moment = datetime.fromtimestamp(record.created, tz=UTC)
        line: dict[str, Any] = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": _shown(record.getMessage()),
        }
        for name, value in _fields(record).items():
            line.setdefault(name, _jsonable(value))
        if record.exc_info:
            line["traceback"] = _shown(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given: Mapping[str, Any] = getattr(record, "fields", {})
    return {name: value for name, value in given.items() if value is not None}


def _printed(fields: Mapping[str, Any]) -> str:
    source = f"{fields['queue']}.{fields.get('worker', 0)}" if "queue" in fields else ""
    source += f" job {fields['job']}" if "job" in fields else ""
    return printable(f"{source}: {_shown(fields['line'])}" if source else _shown(fields["line"]))


def _phrase_and_fields(record: logging.LogRecord, fields: Mapping[str, Any], gap: str) -> str:
    words = [f"{name}={_word(value)}" for name, value in fields.items()]
    phrase = _shown(record.getMessage())
    if not phrase.isprintable():
        phrase = json.dumps(phrase, ensure_ascii=False)
    return phrase + (gap + " ".join(words) if words else "")


def _indented(formatter: logging.Formatter, record: logging.LogRecord, separator: str) -> str:
    if not record.exc_info:
        return ""
    return separator + separator.join(_shown(formatter.formatException(record.exc_info)).splitlines())


def _word(value: Any) -> str:
    """Return a value that stays on its line and apart from its neighbours, whatever is in it."""
    text = _shown(value) if isinstance(value, str) else json.dumps(_jsonable(value), ensure_ascii=False, default=str)
    plain = text.isprintable() and text and not any(c in text for c in ' "=')
    return text if plain or not isinstance(value, str) else json.dumps(text, ensure_ascii=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, list | tuple):
        return [_jsonable(member) for member in value]
    return value


def _shown(text: str) -> str:
    """Return a text without passwords of URLs, which errors of connections like to quote."""
    return redact(text)


class LineOutput:
    """A file descriptor that is written to without ever waiting for its reader."""

    def __init__(self, fd: int, told_of_dropped: Callable[[int], bytes]) -> None:
        """Prepare. `told_of_dropped` makes the line that says how many lines are missing."""
        self._fd = fd
        self._told_of_dropped = told_of_dropped
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._dropped = 0

    def write(self, line: bytes) -> None:
        """Write a line, or keep it until the reader reads; never raises."""
        if self._kept_bytes + len(line) > _KEPT_BYTES:
            self._dropped += 1
        else:
            self._keep(line)
        self.drain(0)

    def drain(self, wait_ms: int) -> None:
        """Write what is kept, waiting for the reader at most `wait_ms` for each page."""
        try:
            while self._kept and self._writable(wait_ms):
                self._write_page()
                if not self._kept and self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._keep(self._told_of_dropped(dropped))
        except OSError:
            # The reader is gone (EPIPE) or the disk is full: the daemon matters more than its log.
            self._kept.clear()
            self._kept_bytes = 0

    def _keep(self, line: bytes) -> None:
        self._kept.append(line)
        self._kept_bytes += len(line)

    def _writable(self, wait_ms: int) -> bool:
        # A reader that is gone reports an error here; the write then says which.
        return bool(self._poll.poll(wait_ms))

    def _write_page(self) -> None:
        line = self._kept.popleft()
        try:
            written = os.write(self._fd, line[:_SAFE_WRITE])
        except BlockingIOError:
            self._kept.appendleft(line)  # somebody made the pipe non-blocking and another writer was faster
            return
        self._kept_bytes -= written
        if written < len(line):
            self._kept.appendleft(line[written:])


class _OutputHandler(logging.Handler):
    def __init__(self, fd: int, formatter: logging.Formatter) -> None:
        super().__init__()
        self.output = LineOutput(fd, self._told_of_dropped)
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        self.output.write(self._line(record))

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            line = self.format(record)
        except Exception as error:
            # A line of the log must never end what it reports on.
            line = f"log line could not be written: {type(error).__name__} in {record.name}"
        return line.encode("utf-8", "backslashreplace") + b"\n"

    def _told_of_dropped(self, count: int) -> bytes:
        told = {
            "msg": "log lines dropped",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "fields": {"count": count},
        }
        return self._line(logging.makeLogRecord(told))
