"""The dashboard below a path of somebody's own application."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from headway.dashboard import mount
from headway.errors import ConfigError
from tests.unit.server_scene import shop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


async def hello(_: Any) -> PlainTextResponse:
    return PlainTextResponse("hello")


def plain() -> Any:
    """An application without a lifespan, as Django's is."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await PlainTextResponse("hello")(scope, receive, send)

    return application


def fast() -> Any:
    made = FastAPI()
    made.add_route("/hello", hello)
    return made


KINDS = {"fastapi": fast, "starlette": lambda: Starlette(routes=[Route("/hello", hello)]), "any": plain}


@asynccontextmanager
async def running(application: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """Serve it as a server does: its lifespan around requests."""
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(
        application({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, heard.get, told.put)
    )
    await heard.put({"type": "lifespan.startup"})
    assert (await told.get())["type"] == "lifespan.startup.complete"
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await heard.put({"type": "lifespan.shutdown"})
    assert (await told.get())["type"] == "lifespan.shutdown.complete"
    await life


@pytest.mark.parametrize("kind", KINDS)
async def test_it_stands_below_its_path_beside_what_was_there(tmp_path: Path, kind: str) -> None:
    async with running(mount(KINDS[kind](), shop(tmp_path), "/ops/")) as client:
        assert (await client.get("/hello")).text == "hello"
        for path in ("/ops/", "/ops/queues", "/ops/jobs"):
            page = await client.get(path)
            assert page.status_code == 200, path
            links = set(re.findall(r'(?:href|action|src)="([^"#?]*)', page.text))
            assert all(link.startswith("/ops/") for link in links if link), links
        page = await client.get("/ops/queues")
        asset = re.findall(r'src="([^"]+)"', page.text)[0]
        assert (await client.get(asset)).headers["content-type"].startswith("text/javascript")
        token = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
        told = await client.post("/ops/queues/email/pause", data={"csrf": token})
        assert told.headers["location"] == "/ops/"
        assert "is paused" in (await client.get("/ops/")).text


@pytest.mark.parametrize("kind", KINDS)
async def test_read_only_nothing_can_be_done(tmp_path: Path, kind: str) -> None:
    app = shop(tmp_path)
    async with running(mount(KINDS[kind](), app, read_only=True)) as client:
        page = await client.get("/headway/queues")
        assert "Pause" not in page.text
        token = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
        form = {"csrf": token}
        told = await client.post(
            "/headway/queues/email/pause", data=form, headers={"accept": "application/json"}
        )
        assert told.status_code == 403
        assert (await client.get("/headway/keys")).status_code == 403


async def test_a_page_whose_name_was_rebound_is_refused(tmp_path: Path) -> None:
    async with running(mount(fast(), shop(tmp_path), hosts=["jobs.example.com"])) as client:
        assert (await client.get("/headway/", headers={"host": "evil.example"})).status_code == 421
        assert (await client.get("/headway/", headers={"host": "jobs.example.com"})).status_code == 200


@pytest.mark.parametrize("path", ["", "/", "headway", "/a//b", "//"])
def test_a_path_that_is_none_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="path"):
        mount(fast(), shop(tmp_path), path)


async def test_the_lifespan_of_the_application_goes_on(tmp_path: Path) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[dict[str, str]]:
        seen.append("open")
        yield {"kept": "state"}
        seen.append("closed")

    async with running(mount(FastAPI(lifespan=lifespan), shop(tmp_path))) as client:
        assert (await client.get("/headway/")).status_code == 200
        assert seen == ["open"]
    assert seen == ["open", "closed"]
