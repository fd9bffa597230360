"""One job's events as an ASGI response, for an application's own users."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx

from headway import Context, Headway
from headway.events import stream
from headway.runtime.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path


def told(body: bytes) -> list[tuple[str, Any]]:
    blocks = [
        block.splitlines() for block in body.decode().split("\n\n") if block and not block.startswith(":")
    ]
    return [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in blocks
    ]


async def test_progress_and_end_are_told_as_they_change(tmp_path: Path) -> None:
    app = Headway("shop", url=f"sqlite:///{tmp_path}/jobs.db")

    @app.task(name="export")
    async def export(ctx: Context) -> str:
        await ctx.progress(0.5, "half")
        await asyncio.sleep(0.5)
        return "secret result"

    async with app:
        job = await export.enqueue()
        http = httpx.AsyncClient(transport=httpx.ASGITransport(stream(job, every=0.05)), base_url="http://x")
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        async with http, asyncio.timeout(20):
            answer = await http.get("/")
        worker.stop()
        await running
        assert answer.headers["content-type"] == "text/event-stream"
        found = told(answer.content)
        assert found[0][0] == "state"
        assert any(data["progress"] == 0.5 and data["message"] == "half" for _, data in found)
        assert (found[-1][0], found[-1][1]["state"]) == ("end", "succeeded")
        assert b"secret" not in answer.content
        (gone,) = [chunk async for chunk in stream(app.job("0" * 20))]
        assert told(gone) == [("gone", {"id": "0" * 20})]
