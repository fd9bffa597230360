"""The least of a Redis client: one command, one answer. Servers are made ready with it, not with what is tested."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, TypeAlias

from tests.servers.process import HOST

if TYPE_CHECKING:
    from io import BufferedReader
    from types import TracebackType
    from typing import Self

Reply: TypeAlias = "str | int | list[Reply] | None"


class ReplyError(Exception):
    """The server answered with an error."""


class Connection:
    """A blocking connection to a server on the loopback; raises OSError, or ReplyError for an error reply."""

    def __init__(self, port: int, password: str | None = None, timeout: float = 5.0) -> None:
        """Connect and log in."""
        self._socket = socket.create_connection((HOST, port), timeout)
        self._reader: BufferedReader = self._socket.makefile("rb")
        if password is not None:
            self.call("AUTH", password)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self._socket.close()

    def call(self, *words: str | int) -> Reply:
        """Send one command and return its answer, with bytes decoded as UTF-8."""
        encoded = [str(word).encode() for word in words]
        self._socket.sendall(
            b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        )
        return self._read()

    def text(self, *words: str | int) -> str:
        """Like call, for commands that answer with a text; ReplyError when it is anything else."""
        reply = self.call(*words)
        if not isinstance(reply, str):
            msg = f"{words[0]} answered {reply!r} where a text was expected"
            raise ReplyError(msg)
        return reply

    def info(self, *words: str | int) -> dict[str, str]:
        """Return the `name:value` lines of INFO and CLUSTER INFO."""
        lines = (line.partition(":") for line in self.text(*words).splitlines())
        return {name: value for name, colon, value in lines if colon}

    def _read(self) -> Reply:
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            msg = "the server closed the connection"
            raise ConnectionResetError(msg)
        kind, rest = line[:1], line[1:-2]
        match kind:
            case b"+":
                return rest.decode()
            case b"-":
                raise ReplyError(rest.decode())
            case b":":
                return int(rest)
            case b"$":
                if int(rest) < 0:
                    return None
                return self._reader.read(int(rest) + 2)[:-2].decode()
            case b"*":
                return None if int(rest) < 0 else [self._read() for _ in range(int(rest))]
            case _:
                msg = f"unknown kind of reply {line!r}"
                raise ReplyError(msg)


def call(port: int, *words: str | int, password: str | None = None) -> Reply:
    """Connect, send one command, disconnect."""
    with Connection(port, password) as connection:
        return connection.call(*words)
