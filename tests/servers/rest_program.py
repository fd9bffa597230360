"""The program of RestProxy: speaks the REST interface of Upstash and forwards to a Redis.

Run as a script with the ports of both as arguments; it imports nothing of the tests.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import sys
from dataclasses import dataclass
from typing import Any, cast

import hiredis

_LIMIT = 64 * 1024 * 1024
_FLAGS = re.compile(r"\A#!lua[^\n]*\n")  # Upstash knows flags that Redis does not


class RefusedError(Exception):
    """What the Redis answered no with, or a request that is none."""


@dataclass
class Faults:
    """What is done to the next requests. Seconds; counts go down to 0."""

    latency: float = 0.0  # each way
    lose: int = 0  # applied, and the connection cut in place of an answer
    refuse: int = 0  # 503 with a page, not applied
    largest: int = 0  # bytes of a body; larger ones are answered 413 with a page, as by a proxy; 0: any
    requests: int = 0
    commands: int = 0


class Backend:
    """One connection to the Redis, in RESP2."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._password = password
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._reader = hiredis.Reader()

    async def call(self, *words: str | bytes) -> Any:
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                self._reader = hiredis.Reader()
                if self._password:
                    await self._exchange("AUTH", self._password)
            reply = await self._exchange(*words)
        except OSError:
            self.close()
            raise
        if isinstance(reply, Exception):
            raise RefusedError(str(reply))
        return reply

    async def _exchange(self, *words: str | bytes) -> Any:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(cast("Any", hiredis).pack_command(words))
        while True:
            if (reply := self._reader.gets()) is not False:
                return reply
            data = await reader.read(65536)
            if not data:
                raise ConnectionResetError
            self._reader.feed(data)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Proxy:
    """All connections of clients."""

    def __init__(self, redis_port: int, token: str, password: str) -> None:
        self._redis_port = redis_port
        self._token = token
        self._password = password
        self._faults = Faults()
        self._shas: dict[str, str] = {}  # of scripts as sent: the one that Redis knows them by

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = Backend(self._redis_port, self._password)
        try:
            while await self._one(reader, writer, backend):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            backend.close()
            writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, backend: Backend
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path == "/-/faults":
            for name, value in json.loads(body or b"{}").items():
                setattr(self._faults, name, value)
            write(writer, 200, vars(self._faults))
            return True
        faults = self._faults
        faults.requests += 1
        if faults.latency:
            await asyncio.sleep(faults.latency)
        if faults.refuse > 0:
            faults.refuse -= 1
            write(writer, 503, "<html>try again</html>")
            return True
        if faults.largest and len(body) > faults.largest:
            write(writer, 413, "<html>too large</html>")
            return True
        status, answer = await self._answer(method, path, headers, body, backend)
        if faults.lose > 0:
            faults.lose -= 1
            writer.transport.abort()
            return False
        if faults.latency:
            await writer.drain()
            await asyncio.sleep(faults.latency)
        write(writer, status, answer)
        return True

    async def _answer(  # noqa: PLR0911 - a table of paths
        self, method: str, path: str, headers: dict[str, str], body: bytes, backend: Backend
    ) -> tuple[int, object]:
        if headers.get("authorization") != f"Bearer {self._token}":
            return 401, {"error": "Unauthorized"}
        if method != "POST":
            return 405, {"error": "ERR method not allowed"}
        encoded = headers.get("upstash-encoding") == "base64"
        try:
            asked: Any = json.loads(body)
            match path.rstrip("/"):
                case "":
                    return 200, {"result": shown(await self._run(backend, asked), encoded=encoded)}
                case "/pipeline":
                    return 200, [await self._single(backend, words, encoded=encoded) for words in asked]
                case "/multi-exec":
                    await backend.call("MULTI")
                    for words in asked:
                        await self._run(backend, words)
                    replies = await backend.call("EXEC")
                    return 200, [{"result": shown(reply, encoded=encoded)} for reply in replies]
                case _:
                    return 404, {"error": f"ERR no such path {path}"}
        except (RefusedError, ValueError, TypeError) as error:
            return 400, {"error": str(error)}
        except OSError:
            return 503, "<html>no backend</html>"

    async def _single(self, backend: Backend, words: list[Any], *, encoded: bool) -> object:
        try:
            return {"result": shown(await self._run(backend, words), encoded=encoded)}
        except RefusedError as error:
            return {"error": str(error)}

    async def _run(self, backend: Backend, asked: list[Any]) -> Any:
        self._faults.commands += 1
        words = [str(word) for word in asked]
        match words:
            case [name, source, *_] if name.upper() == "EVAL" and source.startswith("#!lua"):
                plain = _FLAGS.sub("", source)
                self._shas[sha(source)] = sha(plain)
                words[1] = plain
            case [name, known, *_] if name.upper() == "EVALSHA":
                words[1] = self._shas.get(known, known)
            case _:
                pass
        return await backend.call(*words)


def sha(source: str) -> str:
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def shown(reply: Any, *, encoded: bool) -> object:
    """Return a reply of Redis as the REST interface writes it."""
    match reply:
        case bytes() if encoded:
            return "OK" if reply == b"OK" else base64.b64encode(reply).decode()
        case bytes():
            return reply.decode(errors="replace")
        case list():
            return [shown(part, encoded=encoded) for part in cast("list[object]", reply)]
        case _:
            return reply


def write(writer: asyncio.StreamWriter, status: int, answer: object) -> None:
    body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
    kind = "text/html" if isinstance(answer, str) else "application/json"
    head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


async def main(port: int, redis_port: int, token: str, password: str) -> None:
    proxy = Proxy(redis_port, token, password)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port, limit=_LIMIT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
