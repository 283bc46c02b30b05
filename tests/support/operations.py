"""Operations of the table, performed as the command line does without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from jobd.engine.connect import async_client
from jobd.engine.runner import AsyncRunner
from jobd.locate import RedisSource
from jobd.operations.operation import NamedCaller, Place
from jobd.operations.params.reading import read_params
from jobd.operations.table import OPERATIONS


def perform(
    url: str, prefix: str, name: str, /, on_progress: Callable[[str], None] = lambda text: None, **params: Any
) -> Any:
    """Return the document of one operation, asked for by "alice"."""
    operation = OPERATIONS[name]

    async def main() -> Any:
        async with async_client(RedisSource(url)) as client:
            place = Place(AsyncRunner(client), prefix, NamedCaller("alice", on_progress))
            return await operation.method()(place, read_params(operation.params, params))

    return asyncio.run(main())


class Ops:
    """Performs operations of the table as the command line does without a daemon."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    def __call__(self, name: str, /, **params: Any) -> Any:
        return perform(self.url, self.prefix, name, **params)

    def add(self, queue: str = "email", *, name: str = "n", data: Any = None, **options: Any) -> Any:
        return self("job.add", queue=queue, name=name, data=data or {}, options=options)["job"]
