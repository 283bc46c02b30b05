"""Embedded servers in a folder of a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from jobd.daemon.embedded.redis_server import EmbeddedRedis, EmbeddedSettings
from jobd.engine.connect import sync_client
from jobd.locate import RedisSource
from tests.support.redis_server import find_server as path_server


def settings(folder: Path, **changes: Any) -> EmbeddedSettings:
    fields: dict[str, Any] = {"state_dir": folder / "state", "runtime_dir": folder / "run", "prefix": "bull"}
    return EmbeddedSettings(**{**fields, "server": Path(path_server()), **changes})


@contextlib.asynccontextmanager
async def running(given: EmbeddedSettings) -> AsyncIterator[tuple[EmbeddedRedis, RedisSource]]:
    server = EmbeddedRedis(given)
    source = await server.start()
    try:
        yield server, source
    finally:
        await server.stop()


def ask(source: RedisSource, *words: str) -> Any:
    client = sync_client(source)
    try:
        return client.execute_command(*words)
    finally:
        client.close()


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(60):
            return await main

    return asyncio.run(bounded())
