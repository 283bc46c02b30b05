"""`job_log_output`: what a handler prints and logs goes to its job's log too, up to so many bytes of an attempt."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobd.worker.handlers.job import Job

_LINE_MAX = 16 * 1024
"""Characters of a line; a longer one is several."""

_output: ContextVar[Output | SharedOutput | None] = ContextVar("jobd_output", default=None)


class Output:
    """The lines of one attempt. Used from whatever thread the handler prints in."""

    def __init__(self, job: Job, most: int) -> None:
        self._job = job
        self._left = most
        self._most = most
        self._parts: dict[str, str] = {}

    def begin(self) -> None:
        """Take what is printed in this context from now on."""
        _output.set(self)

    def write(self, stream: str, text: str) -> None:
        """Keep the whole lines, and the rest until its line is whole."""
        if self._left <= 0:
            return
        *lines, rest = (self._parts.get(stream, "") + text).split("\n")
        while len(rest) > _LINE_MAX:
            lines.append(rest[:_LINE_MAX])
            rest = rest[_LINE_MAX:]
        self._parts[stream] = rest
        for line in lines:
            self._log(line)

    def end(self) -> None:
        """Keep what stands in a line that nobody ended."""
        for rest in self._parts.values():
            if rest:
                self._log(rest)
        self._parts.clear()

    def _log(self, line: str) -> None:
        if self._left <= 0:
            return
        self._left -= len(line.encode("utf-8", "replace")) + 1
        if self._left > 0:
            self._job.log(line)
        else:
            self._job.log(f"… more than {self._most} bytes of output: the rest is only in the daemon's log")


class SharedOutput:
    """What one call prints for several jobs: nobody can tell for which, so each of them gets it."""

    def __init__(self, outputs: list[Output]) -> None:
        self._outputs = outputs

    def begin(self) -> None:
        """Take what is printed in this context from now on."""
        _output.set(self)

    def write(self, stream: str, text: str) -> None:
        """Keep it for each job."""
        for output in self._outputs:
            output.write(stream, text)


class _Tee:
    """A stream whose text goes to the running job as well; everything else is the stream's own."""

    def __init__(self, name: str, inner: Any) -> None:
        self._name = name
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, text: str) -> Any:
        written = self._inner.write(text)
        output = _output.get()
        if output is not None:
            output.write(self._name, text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def capture() -> None:
    """Let what is printed reach the jobs; logging that writes to the standard streams goes the same way."""
    fresh: dict[int, _Tee] = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Tee):
            fresh[id(stream)] = _Tee(name, stream)
            setattr(sys, name, fresh[id(stream)])
    loggers = [logging.getLogger(), *(each for each in logging.root.manager.loggerDict.values())]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            tee = fresh.get(id(getattr(handler, "stream", None)))
            if tee is not None and isinstance(handler, logging.StreamHandler):
                handler.setStream(tee)
