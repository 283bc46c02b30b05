"""A primary and its replica behind an address that moves."""

from __future__ import annotations

from tests.support.moving_proxy import MovingProxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


class Pair:
    """Two servers behind a proxy. `fail_over`: the second is the primary from now on, the first its replica."""

    def __init__(self, first: RedisServer, second: RedisServer, proxy: MovingProxy) -> None:
        self.first, self.second, self.proxy = first, second, proxy
        with second.client() as r:
            r.replicaof("127.0.0.1", first.port)
            wait_until(lambda: r.info("replication")["master_link_status"] == "up", 30)

    @property
    def url(self) -> str:
        return self.proxy.url

    def fail_over(self, *, moved: bool = True) -> None:
        with self.first.client() as old, self.second.client() as new:
            wait_until(
                lambda: old.info("replication")["master_repl_offset"] == new.info("replication")["slave_repl_offset"],
                20,
            )
            new.replicaof("NO", "ONE")
            if moved:
                self.proxy.target = self.second.port
            old.replicaof("127.0.0.1", self.second.port)
