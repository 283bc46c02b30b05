"""The composition root of `jobd run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobd.config.model import Config


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line of `jobd run` says beside the file.

    `queues` are the globs of --queue; without one [daemon] queues holds. `socket` and `redis` are --socket and --redis.
    """

    queues: tuple[str, ...] = ()
    until_empty: bool = False
    dev: bool = False
    socket: str | None = None
    redis: str | None = None


async def main(config: Config, options: RunOptions) -> int:
    """Run the daemon until it is stopped; return the exit code of the process."""
    raise NotImplementedError
