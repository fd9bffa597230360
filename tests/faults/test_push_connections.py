"""Connections that bring no request keep nobody out of the emulator and the receiver, and are closed after seconds."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest

from tests.servers.process import HOST, free_port
from tests.servers.server import answers_200

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HALF: Final = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-More: "
COUNT: Final = 300
DESCRIPTORS: Final = 256
APP: Final = """
from headway import Headway

app = Headway("shop", url="cloudtasks://shop/europe-west6?emulator=127.0.0.1:1", guard="sqlite:///guard.db",
              target="http://127.0.0.1:1/", push_secret="tell nobody")

@app.task
async def nothing() -> None: ...
"""


@pytest.fixture(params=["emulator", "push"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, str, Path]]:
    """The port, a path that answers 200, and the log of a server with few descriptors."""
    port = free_port()
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    options, path = {
        "emulator": (["emulator", "--port", "0", "--http-port", str(port)], "/oauth2/v3/certs"),
        "push": (["push", "shop:app", "--port", str(port)], "/ready"),
    }[request.param]
    log = tmp_path / "log"
    program = [sys.executable, "-c", "from headway.cli import main; main()", *options]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "PORT"))
    }
    with log.open("wb") as output, subprocess.Popen(
        ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *program],
        cwd=tmp_path, env=environment, stdout=output, stderr=output,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 40
            while not answers_200(f"http://{HOST}:{port}{path}"):
                assert time.monotonic() < deadline, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield port, path, log
        finally:
            process.kill()


async def test_half_heads_keep_nobody_out_and_are_closed(server: tuple[int, str, Path]) -> None:
    port, path, log = server
    with ExitStack() as held:
        halves: list[socket.socket] = []
        for _ in range(COUNT):
            half = held.enter_context(socket.create_connection((HOST, port), timeout=20))
            half.send(HALF)
            halves.append(half)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with await asyncio.to_thread(opener.open, f"http://{HOST}:{port}{path}", timeout=20) as answer:
            assert answer.status == 200
        for half in halves:
            half.settimeout(40)
            assert await asyncio.to_thread(_ended, half)
    assert "make way" in log.read_text()


def _ended(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1)
    except ConnectionResetError:
        return True
