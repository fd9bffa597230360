"""A Redis by HTTP: the REST interface of Upstash, in a process of its own, before a real server."""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, ServerProcess, free_port
from tests.servers.server import Server

if TYPE_CHECKING:
    from tests.servers.redis import RedisServer

_PROGRAM: Final = Path(__file__).with_name("rest_program.py")


class RestProxy(Server):
    """Stands before a RedisServer. Its faults may be changed at any time."""

    def __init__(self, server: RedisServer, *, latency: float = 0.0) -> None:
        """Choose a port; start nothing. `latency` is in seconds, each way."""
        self.port = free_port()
        self.token = "s3cr3t-token"
        self._latency = latency
        self._folder = tempfile.TemporaryDirectory(prefix="headway-rest-", ignore_cleanup_errors=True)
        arguments = [str(self.port), str(server.port), self.token, server.password or ""]
        self._process = ServerProcess(
            [sys.executable, "-X", "utf8", str(_PROGRAM), *arguments], Path(self._folder.name) / "server.log"
        )

    def __repr__(self) -> str:
        return f"<RestProxy {HOST}:{self.port} {'running' if self.running else 'stopped'}>"

    @property
    def url(self) -> str:
        """Where a client finds it, with its token."""
        return f"http://:{self.token}@{HOST}:{self.port}"

    @property
    def requests(self) -> int:
        """How many requests came."""
        return int(self._faults()["requests"])

    @property
    def commands(self) -> int:
        """How many commands were forwarded."""
        return int(self._faults()["commands"])

    def start(self) -> None:
        """Start it and wait until it answers; ServerError shows the end of its log when it does not."""
        super().start()
        self.set_latency(self._latency)

    def set_latency(self, seconds: float) -> None:
        """Add so much each way."""
        self._faults(latency=seconds)

    def lose_answers(self, count: int) -> None:
        """Apply the next requests, and cut the connection in place of an answer."""
        self._faults(lose=count)

    def refuse(self, count: int) -> None:
        """Answer the next requests with a page and 503, not applied."""
        self._faults(refuse=count)

    def take_at_most(self, size: int) -> None:
        """Answer larger bodies with a page and 413; 0: none is too large."""
        self._faults(largest=size)

    def _faults(self, **changed: float) -> dict[str, float]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("POST", "/-/faults", json.dumps(changed))
            answer: dict[str, float] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def _answers(self) -> bool:
        try:
            return bool(self._faults())
        except OSError:
            return False
