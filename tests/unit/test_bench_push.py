"""The measurement of push: how rounds become figures, and that latency is a delay and no queue."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytest.importorskip("grpc", reason="the benchmark needs headway[emulator]")

from bench.push import medians, met, table
from bench.pushed.delay import HOST, connect


def _round(creation: float, guard: float, wrong: tuple[str, ...] = ()) -> dict[str, Any]:
    kinds = ("creation", "guard", "begin", "settle", "start")
    figures = {f"{kind}_{share}": guard for kind in kinds for share in ("p50", "p95", "p99")}
    return {**figures, "creation_p95": creation, "jobs": 1, "wrong": list(wrong)}


def test_figures_are_medians_of_the_rounds() -> None:
    rounds = [_round(0.01, 0.03), _round(0.5, 0.01), _round(0.02, 0.02)]
    assert medians(rounds)["creation_p95"] == 0.02
    assert medians(rounds)["guard_p95"] == 0.02
    assert "| redis | 20.0 | 20.0 |" in table({"redis": rounds})


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (_round(0.099, 0.049), True),
        (_round(0.101, 0.049), False),
        (_round(0.099, 0.051), False),
        (_round(0.01, 0.01, ("a job ran 2 times",)), False),
    ],
)
def test_a_missed_target_or_a_job_that_ran_twice_fails_the_run(
    measured: dict[str, Any], expected: bool
) -> None:
    assert met({"redis": [_round(0.01, 0.01)], "http": [measured]}) is expected


async def test_each_chunk_is_late_by_itself_and_they_stay_in_their_order() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connect(0.05, target.sockets[0].getsockname()[1], reader, writer)

    async with (
        asyncio.timeout(20),
        await asyncio.start_server(echo, HOST, 0) as target,
        await asyncio.start_server(through, HOST, 0) as proxy,
    ):
        reader, writer = await asyncio.open_connection(HOST, proxy.sockets[0].getsockname()[1])
        began = time.monotonic()
        for number in range(50):
            writer.write(b"%03d" % number)
            await asyncio.sleep(0.001)
        answer = await reader.readexactly(150)
        took = time.monotonic() - began
        assert answer == b"".join(b"%03d" % number for number in range(50))
        assert took >= 0.1  # both ways; fifty chunks one after the other would take five seconds
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
