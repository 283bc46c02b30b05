"""`/metrics`, `/livez` and `/readyz` over HTTP, on threads of their own.

Not on the daemon's loop: a probe must be answered, with 503, by a daemon whose loop stands still.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jobd.errors import Refused
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SERVED_AT_ONCE = 16
"""Connections that are served at once; more are closed: nobody needs that many."""

_SILENT_MAX_S = 10.0
"""A connection that says nothing for so long is closed."""


class Page(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class NumbersServer:
    """Serves `pages`, {path: from the Accept header to a page}, which are called on threads; any other path is 404."""

    def __init__(self, address: str, pages: Mapping[str, Callable[[str], Page]]) -> None:
        """Prepare. `address` is "HOST:PORT", "[HOST]:PORT" or "unix:PATH"."""
        self.address = address
        self._pages = pages
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on, 0 for a Unix socket."""
        name = self._server.socket.getsockname() if self._server is not None else None
        return int(name[1]) if isinstance(name, tuple) else 0

    def start(self) -> None:
        """Listen and serve.

        Raises:
            Refused: the address cannot be used.
        """
        if self._server is not None:
            return
        try:
            self._server = _Server(_listening(self.address), self._pages)
        except OSError as error:
            why = error.strerror or str(error)
            raise Refused("http-unusable", f"cannot serve numbers at {self.address} ([daemon] http): {why}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="jobd numbers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve no more; answers under way come to their end by themselves."""
        server, thread, self._server, self._thread = self._server, self._thread, None, None
        if server is None or thread is None:
            return
        server.shutdown()
        thread.join()
        server.server_close()
        if self.address.startswith("unix:"):
            Path(self.address.removeprefix("unix:")).unlink(missing_ok=True)


def _listening(address: str) -> socket.socket:
    if address.startswith("unix:"):
        return _listening_at(Path(address.removeprefix("unix:")))
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=64)


def _listening_at(path: Path) -> socket.socket:
    """Return a socket that everybody who may pass through its folder can connect to: it only reads."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()  # the daemon's lock says that no other daemon of this configuration runs
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(path))
        path.chmod(0o666)
        sock.listen(64)
    except BaseException:
        sock.close()
        raise
    return sock


class _Server(ThreadingMixIn, BaseServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, sock: socket.socket, pages: Mapping[str, Callable[[str], Page]]) -> None:
        super().__init__(sock.getsockname(), _Handler)
        self.socket = sock
        self.pages = pages
        self._room = threading.BoundedSemaphore(_SERVED_AT_ONCE)

    def fileno(self) -> int:
        """What `serve_forever` waits on."""
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        return self.socket.accept()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room to serve it."""
        del request, client_address
        return self._room.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it, then give the room back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client went away, or said what is no HTTP: nobody's business."""
        del request, client_address

    def server_close(self) -> None:
        """Listen no more."""
        self.socket.close()


class _Handler(BaseHTTPRequestHandler):
    timeout = _SILENT_MAX_S
    server_version = "jobd"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page of the path."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without it."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        make = cast("_Server", self.server).pages.get(path)
        if make is None:
            page = Page(HTTPStatus.NOT_FOUND, f"no such page: {printable(path)[:200]}\n".encode())
        else:
            page = make(self.headers.get("Accept", ""))
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: a scrape every few seconds is no event."""

    def address_string(self) -> str:
        """Nobody on a Unix socket has an address."""
        return ""
