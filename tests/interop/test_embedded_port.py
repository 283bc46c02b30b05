"""`embedded_port`: a Node producer reaches the private server of a daemon by the file that tells where it is."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import redis

from tests.support.daemon_process import DaemonProcess
from tests.support.node import run_node
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.node, pytest.mark.compat("an embedded server", "BullMQ adds over its port, jobd runs")]

PRODUCER = Path(__file__).with_name("embedded_producer.cjs")
QUEUES = '[queues.work]\nhandler = "mixed_handlers:handle"\n'


def test_a_node_producer_reaches_the_embedded_server(short_tmp: Path, prefix: str) -> None:
    port = free_port()
    more = f"embedded_port = {port}\n"
    with DaemonProcess(short_tmp / "d", "embedded", QUEUES, prefix=prefix, redis=more) as daemon:
        daemon.start_ready()
        told = daemon.socket.with_name("redis.url")
        assert stat.S_IMODE(told.stat().st_mode) == 0o600
        result = json.loads(run_node(PRODUCER, str(told), prefix))
        assert result == {"n": 2, "data": {"userId": 7}}
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        # The same address after a restart: a producer that runs on finds it again.
        before = json.loads(told.read_text())["tcp_url"]
        daemon.stop()
        daemon.start_ready()
        assert json.loads(told.read_text())["tcp_url"] == before
