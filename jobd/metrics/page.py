"""What `jobd run` is given when the extra is there: the page's text, and the server in front of it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from http import HTTPStatus
from typing import TYPE_CHECKING

from jobd.metrics.handlers import HandlersNumbers
from jobd.metrics.http_server import NumbersServer, Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from jobd.operations.numbers import Numbers

_ANSWER_LIMIT_S = 3.0
"""How long the daemon's loop has for its part: ten times what it gives Redis."""


class NumbersPage:
    """Draws the page, and serves it when the file says where. `prometheus_client` is imported at its first use."""

    def __init__(self, folder: Path) -> None:
        """Prepare. `folder` is for the files of the handlers' own numbers."""
        self._handlers = HandlersNumbers(folder)
        self._server: NumbersServer | None = None

    @property
    def worker_environment(self) -> dict[str, str]:
        """What makes `prometheus_client` in a worker count where this page looks."""
        return {"PROMETHEUS_MULTIPROC_DIR": str(self._handlers.folder)}

    def prepare(self) -> None:
        """Have the folder, empty; before the first worker starts."""
        self._handlers.prepare()

    async def worker_ended(self) -> None:
        """Fold in what an ended worker counted."""
        await asyncio.to_thread(self._handlers.fold)

    async def text(self, numbers: Numbers, accept: str = "") -> tuple[str, str]:
        """Return (the page, its content type)."""
        body, content_type = await asyncio.to_thread(self._draw, numbers, accept)
        return body.decode(), content_type

    def serve(
        self,
        address: str,
        numbers: Callable[[], Awaitable[Numbers]],
        live: Callable[[], tuple[bool, str | None]],
        ready: Callable[[], tuple[bool, str | None]],
    ) -> None:
        """Serve at an address. `numbers` and `ready` are asked on this loop, `live` on any thread.

        Raises:
            Refused: the address cannot be used.
        """
        loop = asyncio.get_running_loop()

        async def ask_numbers() -> Numbers:
            return await numbers()

        async def ask_ready() -> tuple[bool, str | None]:
            return ready()

        def metrics(accept: str) -> Page:
            try:
                found = asyncio.run_coroutine_threadsafe(ask_numbers(), loop).result(_ANSWER_LIMIT_S)
            except (TimeoutError, concurrent.futures.CancelledError, RuntimeError):
                return _STUCK
            return Page(HTTPStatus.OK, *self._draw(found, accept))

        def readyz(_accept: str) -> Page:
            try:
                return _probed(*asyncio.run_coroutine_threadsafe(ask_ready(), loop).result(_ANSWER_LIMIT_S))
            except (TimeoutError, concurrent.futures.CancelledError, RuntimeError):
                return _STUCK

        pages = {"/metrics": metrics, "/livez": lambda _accept: _probed(*live()), "/readyz": readyz}
        self._server = NumbersServer(address, pages)
        self._server.start()

    async def stop(self) -> None:
        """Serve no more. Harmless when it did not."""
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    def _draw(self, numbers: Numbers, accept: str) -> tuple[bytes, str]:
        from jobd.metrics.exposition import text_of

        return text_of(numbers, self._handlers.collect(), accept)


def _probed(good: bool, why: str | None) -> Page:
    if good:
        return Page(HTTPStatus.OK, b"ok\n")
    return Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n".encode())


_STUCK = Page(HTTPStatus.SERVICE_UNAVAILABLE, b"the daemon's loop does not answer\n")
