"""A primary with a replica, watched by three Sentinels."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.servers.process import HOST, ServerError, wait_until
from tests.servers.redis import RedisServer
from tests.servers.resp import ReplyError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class RedisSentinel:
    """One primary, one replica, three Sentinels of which two must agree; all on the loopback."""

    name = "mymaster"

    def __init__(self, *, down_after_ms: int = 1000) -> None:
        """Lay the servers out; start nothing. `down_after_ms`: silence after which the primary counts as down."""
        self._stack = ExitStack()
        first = self._add(RedisServer(appendonly=True))
        second = self._add(RedisServer(appendonly=True, options={"replicaof": f"{HOST} {first.port}"}))
        self.servers = (first, second)
        options: dict[str, str | int] = {
            f"sentinel monitor {self.name}": f"{HOST} {first.port} 2",
            f"sentinel down-after-milliseconds {self.name}": down_after_ms,
            f"sentinel failover-timeout {self.name}": 5000,
        }
        self.sentinels = tuple(self._add(RedisServer(sentinel=True, options=options)) for _ in range(3))

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
    def url(self) -> str:
        """Where a client finds the Sentinels, which tell it of the primary."""
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.name}/0"

    @property
    def primary(self) -> RedisServer:
        """The server that the Sentinels call the primary."""
        ports = {self._primary_port(sentinel) for sentinel in self.sentinels if sentinel.running}
        found = [server for server in self.servers if ports == {server.port}]
        if not found:
            msg = f"the Sentinels do not agree on one primary: {sorted(ports)}"
            raise ServerError(msg)
        return found[0]

    def start(self) -> None:
        """Start all, and wait until the replica is in step and every Sentinel knows the replica and its peers."""
        for server in self.servers:
            server.start()
        replica = self.servers[1]
        wait_until(
            lambda: replica.info("replication")["master_link_status"] == "up", "the replica is in step"
        )
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(lambda: all(map(self._complete, self.sentinels)), "the Sentinels know each other")

    def kill_primary(self) -> RedisServer:
        """Kill the primary (SIGKILL) and return it; the Sentinels make the other the primary."""
        primary = self.primary
        primary.kill()
        return primary

    def wait_failover(self, old: RedisServer, timeout: float = 20.0) -> RedisServer:
        """Wait until another server than `old` is the primary for all Sentinels and accepts writes; return it."""

        def moved() -> RedisServer | None:
            try:
                new = self.primary
            except ServerError:
                return None
            return new if new is not old and new.info("replication")["role"] == "master" else None

        return wait_until(moved, "fail-over to the replica", timeout)

    def close(self) -> None:
        """End all and remove their data."""
        self._stack.close()

    def _add(self, server: RedisServer) -> RedisServer:
        self._stack.callback(server.close)
        return server

    def _primary_port(self, sentinel: RedisServer) -> int:
        reply = sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return int(str(reply[1])) if isinstance(reply, list) else 0

    def _complete(self, sentinel: RedisServer) -> bool:
        try:
            reply = sentinel.call("SENTINEL", "MASTER", self.name)
        except ReplyError:
            return False
        flat = [str(word) for word in reply] if isinstance(reply, list) else []
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        others = str(len(self.sentinels) - 1)
        return fields.get("num-slaves") == "1" and fields.get("num-other-sentinels") == others
