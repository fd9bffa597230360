"""How many jobs a server makes by its REST API: single ones and in bulk, on one process.

    python -m bench.api [--url redis://...] [--seconds 8]

The server runs in a process of its own, with its default settings and a key; the load comes from here. Without `--url`
a Redis server is started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from headway.clock import SystemClock
from headway.server.access.caller import Role
from headway.server.access.keyring import Keyring
from headway.server.store.database import Database
from tests.servers import ApiServer, RedisServer

CLIENTS: Final = 32
BULK: Final = 5000
APP: Final = """
from headway import Headway

app = Headway("bench", url="URL", access="sqlite:///FOLDER/access.db")

@app.task(name="welcome")
async def welcome(user: int, template: str = "basic") -> None: ...
"""


async def post(
    reading: asyncio.StreamReader, writing: asyncio.StreamWriter, path: str, key: str, body: bytes
) -> int:
    """Send one request over a connection that stays open; return the status."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writing.write(head.encode() + body)
    answer = await reading.readuntil(b"\r\n\r\n")
    length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reading.readexactly(length)
    return int(answer.split(b" ", 2)[1])


async def load(  # noqa: PLR0917 - all that a load is
    port: int, path: str, key: str, body: bytes, seconds: float, clients: int
) -> tuple[float, list[float]]:
    """Send the body again and again over some connections; return requests a second, and the latencies."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        reading, writing = await asyncio.open_connection("127.0.0.1", port, limit=16 * 1024 * 1024)
        while time.perf_counter() < end:
            begin = time.perf_counter()
            status = await post(reading, writing, path, key, body)
            if status not in {200, 201}:
                msg = f"{path} was answered {status}"
                raise RuntimeError(msg)
            latencies.append(time.perf_counter() - begin)
        writing.close()

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return len(latencies) / (time.perf_counter() - begin), sorted(latencies)


async def make_key(folder: str) -> str:
    """Make a key as `headway keys create` does."""
    database = Database(f"sqlite:///{folder}/access.db", "bench")
    await database.open()
    key, _ = await Keyring(database, SystemClock()).create("bench", Role.OPERATE, by="bench")
    await database.close()
    return key


def cpu_seconds(pid: int) -> float:
    """Return what a process has taken of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(port: int, pid: int, key: str, seconds: float) -> None:
    """Measure and print. What a second of one core makes is told beside it: this machine may have other work."""
    single = json.dumps({"task": "welcome", "args": [42], "kwargs": {"template": "pro"}}).encode()
    await load(port, "/v1/jobs", key, single, 1.0, CLIENTS)
    before = cpu_seconds(pid)
    rate, latencies = await load(port, "/v1/jobs", key, single, seconds, CLIENTS)
    core = len(latencies) / (cpu_seconds(pid) - before)
    p95 = latencies[len(latencies) * 95 // 100] * 1000
    print(
        f"single: {rate:,.0f} jobs/s over {CLIENTS} connections, p95 {p95:.1f} ms; {core:,.0f} a second of one core"
    )
    bulk = json.dumps({"jobs": [{"task": "welcome", "args": [n]} for n in range(BULK)]}).encode()
    before = cpu_seconds(pid)
    rate, calls = await load(port, "/v1/jobs/bulk", key, bulk, seconds, 2)
    core = len(calls) * BULK / (cpu_seconds(pid) - before)
    print(f"bulk: {rate * BULK:,.0f} jobs/s in calls of {BULK:,}; {core:,.0f} a second of one core")


def main() -> None:
    """Start what is needed and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = args.url or stack.enter_context(RedisServer()).url
        text = APP.replace("URL", url).replace("FOLDER", folder)
        (Path(folder) / "bench_api_app.py").write_text(text, encoding="utf-8")
        server = ApiServer("bench_api_app:app", Path(folder), None, "--rate", "100000000")
        stack.enter_context(server)
        asyncio.run(measured(server.port, server.pid, asyncio.run(make_key(folder)), args.seconds))


if __name__ == "__main__":
    main()
