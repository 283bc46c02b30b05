"""A control server that answers what a test says, to try the command line without a daemon."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

Answer = dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]

STATUS: dict[str, Any] = {
    "state": "ready", "degraded_by": [], "pid": 1, "host": "h", "version": "0.1.0", "uptime_s": 3.0, "generation": 1,
    "config": {"path": "/x/jobd.toml", "changed_on_disk": False}, "code": {"changed_on_disk": False},
    "redis": {"url": "unix:///r.sock", "up": True, "latency_ms": 0.2, "embedded": True, "version": None, "origin": "",
              "error": None},
    "reloaded_s": None, "incarnation": "i", "last_reload": None, "drift": [], "queues": [],
}  # fmt: skip
"""What `status` of a daemon without queues answers."""


class Refusal(Exception):
    """Raised by an answer: becomes the error object of JSON-RPC."""

    def __init__(self, code: str, message: str, exit_code: int, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.data = {"code": code, "exit": exit_code, "detail": detail or {}}


class FakeControl:
    """Listens at `path`; `answers` is {method: result, or a function of the params}; `asked` is what came in.

    `connections` are those that were accepted; they end with it.
    """

    def __init__(self, path: Path, answers: dict[str, Answer], progress: tuple[str, ...] = ()) -> None:
        self.path = path
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.connections: list[socket.socket] = []
        self._progress = progress
        self._sock = socket.socket(socket.AF_UNIX)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> FakeControl:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._sock.bind(str(self.path))
        self._sock.listen(8)
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError:
                return
            self.connections.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        # A client may go away before it is answered.
        with contextlib.suppress(BrokenPipeError), connection, connection.makefile("rwb") as stream:
            for line in stream:
                request = json.loads(line)
                for text in self._progress:
                    self._write(stream, {"method": "progress", "params": {"id": request["id"], "text": text}})
                self._write(stream, {"id": request["id"], **self._answer(request["method"], request["params"])})

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((method, params))
        found = self.answers.get(method)
        if found is None:
            return {"error": {"code": -32601, "message": f'no such method: "{method}"', "data": {}}}
        try:
            return {"result": {"schema": 1, **(found(params) if callable(found) else found)}}
        except Refusal as refusal:
            return {"error": {"code": -32000, "message": str(refusal), "data": refusal.data}}

    def _write(self, stream: Any, message: dict[str, Any]) -> None:
        stream.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        stream.flush()
