"""`headway mcp`: the tools that an assistant finds, through the official SDK's own client and against a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp.client import Client as Assistant

from headway.client import Client
from headway.mcp.serve import mcp_server
from headway.mcp.tools import LONGEST, tools
from tests.unit.server_scene import served, shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with served(shop(tmp_path)) as scene:
        key = await scene.key("operate", name="assistant")
        http = httpx.AsyncClient(transport=httpx.ASGITransport(scene.server))
        async with http, Client("http://localhost", key, http=http) as client:
            yield client


async def test_only_tools_that_look_are_offered_unless_writes_are_allowed(client: Client) -> None:
    async with Assistant(mcp_server(client, allow_writes=False)) as assistant:
        found = (await assistant.list_tools()).tools
        assert len(found) == 12
        assert all(one.annotations is not None and one.annotations.read_only_hint for one in found)
        answer = await assistant.call_tool("create_job", {"task": "welcome", "args": [1]})
        assert answer.is_error
    assert (await client.jobs()).jobs == []


async def test_an_assistant_looks_and_acts(client: Client) -> None:
    async with Assistant(mcp_server(client, allow_writes=True)) as assistant:
        made = await assistant.call_tool("create_job", {"task": "welcome", "args": [1]})
        job_id = json.loads(made.content[0].text)["id"]  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
        shown = await assistant.call_tool("get_job", {"job_id": job_id})
        assert '"state":"ready"' in str(shown.content[0])
        await assistant.call_tool("act_on_jobs", {"act": "cancel", "job_ids": [job_id], "reason": "asked"})
        for name in (
            "list_queues",
            "list_jobs",
            "list_failures",
            "list_tasks",
            "list_workers",
            "figures",
            "routes",
            "list_migrations",
        ):
            answer = await assistant.call_tool(name, {})
            assert not answer.is_error
            assert "refused" not in str(answer.content[0]), name
    assert (await client.job(job_id)).state == "cancelled"


async def test_what_the_server_refuses_is_said_and_answers_are_bounded(client: Client) -> None:
    offered = tools(client, allow_writes=True)
    assert "404 not-found" in await offered["get_job"]("0" * 20)
    assert "422 unknown-task" in await offered["create_job"]("nope")
    made = await client.create("report", ["x" * 100_000])
    assert len(await offered["get_job"](made.id)) < LONGEST + 100
