"""A control server without a daemon: what it is asked and how it answers is the test's."""

from __future__ import annotations

import asyncio
import itertools
import threading
from pathlib import Path
from typing import Any

from jobd.daemon.control.server import Caller, ControlServer
from jobd.errors import NotThere


class Harness:
    """A control server on a loop of its own thread; its methods are those of `_answer`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.callers: list[Caller] = []
        self.finished: list[str] = []
        self.loop = asyncio.new_event_loop()
        self.release = asyncio.Event()
        self.server = ControlServer(path, self._answer)
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _answer(self, method: str, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        self.callers.append(caller)
        if method == "slow":
            caller.progress("begun")
            await self.release.wait()
            caller.progress("nearly")
            self.finished.append(method)
        if method == "chatty":
            for number in range(20_000):
                caller.progress(f"{number} " + "x" * 1000)
                if number % 100 == 0:
                    await asyncio.sleep(0)
            self.finished.append(method)
        if method == "feeding":
            try:
                for number in itertools.count():
                    await caller.feed(f"entry {number}", {"entry": {"n": number, "text": "x" * 10_000}})
            finally:
                self.finished.append(method)
        if method == "watching":
            while caller.is_there():
                await asyncio.sleep(0.01)
            self.finished.append("gone")
        if method == "missing":
            raise NotThere("queue", "x", known=["email"])
        if method == "crash":
            raise RuntimeError("a secret")
        if method == "large":
            return {"data": "x" * 8_000_000}
        return {"echo": params}

    def stop(self) -> None:
        self.run(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
