"""Several redis-servers that stand in for each other: a primary with a replica and a Sentinel, and a Cluster."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import redis
from redis.crc import key_slot

from tests.support.redis_server import RedisServer, find_server, free_port
from tests.support.waiting import wait_until

_SLOTS = 16384


class Node(RedisServer):
    """A server with settings of its own, `started` after those of every test server."""

    def __init__(self, folder: Path, *settings: str) -> None:
        super().__init__(folder, tcp=True)
        self.settings = settings

    def more_arguments(self) -> tuple[str, ...]:
        """Return the settings, as arguments."""
        return self.settings

    def role(self) -> str:
        """Return master or slave; "" when it does not answer."""
        try:
            with self.client() as client:
                return str(client.info("replication")["role"])
        except redis.RedisError:
            return ""


class SentinelSet:
    """A primary, its replica, and one Sentinel that promotes the replica a second after the primary is gone."""

    def __init__(self, folder: Path) -> None:
        self.primary = Node(folder / "a").start()
        self.replica = Node(folder / "b", "--replicaof", "127.0.0.1", str(self.primary.port)).start()
        self.port = free_port()
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor main 127.0.0.1 {self.primary.port} 1\n"
            "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
        )
        with (folder / "sentinel.log").open("ab") as log:
            self._sentinel = subprocess.Popen(
                [find_server(), str(folder / "sentinel.conf"), "--sentinel"], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_until(self._knows_the_replica, 20, what="Sentinel knows the replica")

    @property
    def url(self) -> str:
        """The URL of this set."""
        return f"redis+sentinel://127.0.0.1:{self.port}/main"

    def _knows_the_replica(self) -> bool:
        with redis.Redis(port=self.port, decode_responses=True) as client:
            try:
                return client.sentinel_master("main")["num-slaves"] == 1
            except redis.RedisError:
                return False

    def kill_primary(self) -> None:
        """Kill it once the replica has everything; return when the replica has taken its place."""
        with self.primary.client() as client:
            assert client.wait(1, 10_000) == 1
        self.primary.kill()
        wait_until(lambda: self.replica.role() == "master", 30, what="the replica is promoted")

    def stop(self) -> None:
        """End everything."""
        self._sentinel.kill()
        self._sentinel.wait()
        self.replica.stop()
        self.primary.stop()


class Cluster:
    """Three primaries that share the slots, and a replica of each."""

    def __init__(self, folder: Path) -> None:
        settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-config-file", "nodes.conf",
                    "--cluster-replica-validity-factor", "0")  # fmt: skip
        nodes = [self._node(folder / f"n{number}", settings) for number in range(6)]
        self.primaries, self.replicas = nodes[:3], nodes[3:]
        share = _SLOTS // 3 + 1
        for number, node in enumerate(self.primaries):
            last = min((number + 1) * share, _SLOTS) - 1
            self._ask(node, "CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for node in nodes[1:]:
            self._ask(node, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus_port)
        wait_until(lambda: all(len(self._ask(node, "CLUSTER", "NODES").split("\n")) >= 7 for node in nodes), 20,
                   what="the nodes know each other")  # fmt: skip
        for primary, replica in zip(self.primaries, self.replicas, strict=True):
            wait_until(lambda p=primary, r=replica: self._follow(r, p), 20, what="a replica follows")
        wait_until(lambda: all("cluster_state:ok" in self._ask(node, "CLUSTER", "INFO") for node in nodes), 30,
                   what="the cluster is up")  # fmt: skip
        wait_until(lambda: all(self._is_linked(node) for node in self.replicas), 30, what="the replicas are linked")

    @staticmethod
    def _node(folder: Path, settings: tuple[str, ...]) -> ClusterNode:
        return ClusterNode(folder, *settings).start_on_free_ports()

    @property
    def url(self) -> str:
        """The URL of this cluster, with two of its nodes."""
        return f"redis+cluster://127.0.0.1:{self.primaries[0].port},127.0.0.1:{self.primaries[1].port}"

    def owner(self, key: str) -> Node:
        """Return the server that owned the slot of a key in the beginning."""
        return self.primaries[key_slot(key.encode()) // (_SLOTS // 3 + 1)]

    def kill_owner(self, key: str) -> Node:
        """Kill the owner of a key's slot once its replica has everything; return the replica, promoted."""
        primary = self.owner(key)
        replica = self.replicas[self.primaries.index(primary)]
        with primary.client() as client:
            assert client.wait(1, 10_000) == 1
        primary.kill()
        wait_until(lambda: replica.role() == "master", 30, what="the replica is promoted")
        wait_until(lambda: "cluster_state:ok" in self._ask(replica, "CLUSTER", "INFO"), 30, what="the cluster is up")
        return replica

    def stop(self) -> None:
        """End everything."""
        for node in self.primaries + self.replicas:
            node.stop()

    def _follow(self, replica: Node, primary: Node) -> bool:
        try:
            self._ask(replica, "CLUSTER", "REPLICATE", self._ask(primary, "CLUSTER", "MYID"))
        except redis.ResponseError:
            return False  # it has not heard of that node yet
        return True

    def _is_linked(self, replica: Node) -> bool:
        with replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    @staticmethod
    def _ask(node: Node, *words: object) -> str:
        with node.raw() as client:
            reply = client.execute_command(*words)
        return reply.decode() if isinstance(reply, bytes) else str(reply)


class ClusterNode(Node):
    """A server of a Cluster: a second port, its bus, must be free too."""

    bus_port = 0

    def start_on_free_ports(self) -> ClusterNode:
        """Start it; on other ports when somebody was faster."""
        for _ in range(5):
            self.port, self.bus_port = free_port(), free_port()
            try:
                self.start()
            except AssertionError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError(f"no free ports: {(self.folder / 'redis.log').read_text()[-2000:]}")

    def more_arguments(self) -> tuple[str, ...]:
        """Return the settings with the bus's port."""
        return (*self.settings, "--cluster-port", str(self.bus_port))
