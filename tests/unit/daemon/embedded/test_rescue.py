"""The connection that is kept open to an embedded server. No server runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jobd.daemon.embedded.rescue import Lifeline
from jobd.errors import Refused
from jobd.locate import RedisSource


def test_a_server_that_is_gone_again_is_a_refusal_and_ends_nobody_who_starts_it(tmp_path: Path) -> None:
    line = Lifeline(RedisSource(f"unix://{tmp_path}/none.sock"))
    with pytest.raises(Refused, match="cannot connect"):
        asyncio.run(line.open())
