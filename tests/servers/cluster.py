"""A Redis Cluster on the loopback."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, ServerError, free_port, wait_until
from tests.servers.redis import RedisServer
from tests.servers.resp import ReplyError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

SLOTS: Final = 16_384


class RedisCluster:
    """Primaries that share the slots, each with `replicas` replicas. A lost primary is noticed after `node_timeout_ms`."""

    def __init__(self, *, primaries: int = 3, replicas: int = 0, node_timeout_ms: int = 1000) -> None:
        """Lay the nodes out; start nothing."""
        self._buses: dict[int, int] = {}
        self._stack = ExitStack()
        self.primaries = tuple(self._node(node_timeout_ms) for _ in range(primaries))
        # The replicas of the first primary come first.
        self.replicas = tuple(self._node(node_timeout_ms) for _ in range(primaries * replicas))
        self._per_primary = replicas

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def nodes(self) -> tuple[RedisServer, ...]:
        """All servers: the first primaries, then the first replicas. Their roles change at a fail-over."""
        return self.primaries + self.replicas

    @property
    def url(self) -> str:
        """Where a client finds the first node, which tells it of the others."""
        return f"redis+cluster://{HOST}:{self.primaries[0].port}"

    def start(self) -> None:
        """Start the nodes, join them and wait until every one of them serves all slots."""
        for node in self.nodes:
            node.start()
        share, count = SLOTS // len(self.primaries), len(self.primaries)
        for number, node in enumerate(self.primaries):
            last = SLOTS - 1 if number == count - 1 else (number + 1) * share - 1
            # Distinct epochs from the start: the nodes need not settle that among themselves.
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.call("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for node in self.nodes[1:]:
            self.primaries[0].call("CLUSTER", "MEET", HOST, node.port, self._buses[node.port])
        wait_until(self._joined, "the nodes of the cluster know each other")
        for number, node in enumerate(self.replicas):
            _replicate(node, self.primaries[number // self._per_primary])
        self.wait_ok()

    def wait_ok(self, timeout: float = 20.0) -> None:
        """Wait until every running node finds all slots served and every replica has its data."""
        wait_until(self._ok, "cluster_state:ok on every node", timeout)

    def primary_ports(self) -> frozenset[int]:
        """Return the ports of the running nodes that are primaries now."""
        running = [node for node in self.nodes if node.running]
        return frozenset(node.port for node in running if node.info("replication")["role"] == "master")

    def close(self) -> None:
        """End all nodes and remove their data."""
        self._stack.close()

    def _node(self, node_timeout_ms: int) -> RedisServer:
        bus = free_port()  # not port + 10000, which may be taken
        options: dict[str, str | int] = {
            "cluster-enabled": "yes",
            "cluster-port": bus,
            "cluster-node-timeout": node_timeout_ms,
            "cluster-config-file": "nodes.conf",
        }
        node = RedisServer(appendonly=True, options=options)
        self._stack.callback(node.close)
        self._buses[node.port] = bus
        return node

    def _joined(self) -> bool:
        # Nodes in handshake still have random names and are not counted as links that work.
        return all(
            text.count(" connected") == len(self.nodes) and "handshake" not in text
            for text in (str(node.call("CLUSTER", "NODES")) for node in self.nodes)
        )

    def _ok(self) -> bool:
        for node in self.nodes:
            if not node.running:
                continue
            with node.connect() as connection:
                if connection.info("CLUSTER", "INFO").get("cluster_state") != "ok":
                    return False
                replication = connection.info("INFO", "replication")
                if replication["role"] == "slave" and replication["master_link_status"] != "up":
                    return False
        return True


def _replicate(replica: RedisServer, primary: RedisServer) -> None:
    name = str(primary.call("CLUSTER", "MYID"))

    def accepted() -> bool:
        try:
            return replica.call("CLUSTER", "REPLICATE", name) == "OK"
        except ReplyError as error:
            if "Unknown node" in str(error):  # the gossip has not reached it yet
                return False
            msg = f"{replica!r} refuses to replicate {primary!r}: {error}"
            raise ServerError(msg) from error

    wait_until(accepted, f"{replica!r} replicates {primary!r}")
