"""The client of the API: against a server in this process, and against one that fails."""

from __future__ import annotations

import asyncio
import inspect
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from headway.client import ApiError, ApiUnavailableError, Client, SyncClient
from headway.client.events import blocks
from headway.errors import ConfigError
from headway.runtime.worker import Worker
from headway.server.access.caller import Scope
from tests.servers import ApiServer
from tests.unit.server_scene import Scene, migrated, served, shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with served(shop(tmp_path)) as scene:
        yield scene


@pytest.fixture
async def client(scene: Scene) -> AsyncIterator[Client]:
    key = await scene.key("admin", name="client")
    http = httpx.AsyncClient(transport=httpx.ASGITransport(scene.server))
    async with http, Client("http://localhost", key, http=http) as client:
        yield client


async def test_jobs_are_made_looked_at_and_acted_on(scene: Scene, client: Client) -> None:
    made = await client.create("welcome", [1], {"template": "pro"}, delay="1h", priority=7)
    assert (made.task, made.queue, made.duplicate) == ("welcome", "email", False)
    job = await client.job(made.id)
    assert (job.state, job.priority, job.args, job.kwargs) == ("scheduled", 7, [1], {"template": "pro"})
    assert (await client.change(made.id, priority=2)).priority == 2
    assert (await client.promote(made.id)).done
    many = await client.create_many([{"task": "welcome", "args": [n]} for n in range(3)] + [{"task": "nope"}])
    assert (many.accepted, many.refused) == (3, 1)
    assert many.jobs[3].error is not None
    assert many.jobs[3].error.kind == "unknown-task"
    assert len([one async for one in client.all_jobs(queue="email")]) == 4
    assert len((await client.jobs(state=["ready", "running"], limit=2)).jobs) == 2
    assert (await client.cancel(made.id, "no more")).state == "cancelled"
    ids = [one.id for one in many.jobs if one.id]
    assert [one.done for one in await client.act_on("cancel", ids)] == [True] * 3
    assert (await client.remove(made.id)).done
    with pytest.raises(ApiError) as refused:
        await client.job(made.id)
    assert (refused.value.status, refused.value.kind) == (404, "not-found")


async def test_a_result_is_waited_for(scene: Scene, client: Client) -> None:
    made = await client.create("welcome", [7])
    worker = Worker(scene.app)
    running = asyncio.create_task(worker.run())
    try:
        assert (await client.wait(made.id, 20)).state == "succeeded"
        assert (await client.result(made.id, 20)).result == "7 basic"
    finally:
        worker.stop()
        await running
    assert await client.logs(made.id) == []


async def test_a_migration_is_seen_as_its_commands_told_it(scene: Scene, client: Client) -> None:
    kept = await migrated(scene.app)
    [told] = await client.migrations()
    assert (told["id"], told["state"], told["found"], told["moved"]) == (kept.id, "running", 12, 7)
    whole = await client.migration(kept.id)
    assert [one["queue"] for one in whole["rows"]] == [one.queue for one in kept.rows]
    assert whole["reasons"][0]["examples"][0]["source_id"] == kept.rows[0].queue
    with pytest.raises(ApiError, match="no migration"):
        await client.migration("0" * 16)
    bound = scene.client(await scene.key("admin", Scope(queues=("email",)), name="bound"))
    assert (await bound.get("/v1/migrations")).status_code == 403


async def test_queues_schedules_and_the_rest(client: Client) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    assert (await client.pause("email", until)).paused_until is not None
    assert not (await client.resume("email")).paused
    assert {one.name for one in await client.queues()} == {"bad", "default", "email"}
    assert await client.drain("email") == 0
    assert await client.clean("email", "failed", "7d") == 0
    made = await client.create_schedule("mine", "welcome", [1], cron="0 6 * * *", timezone="Europe/Zurich")
    assert (made["made"], made["task"]) == (True, "welcome")
    assert (await client.act_on_schedule("mine", "pause"))["paused"]
    assert (await client.act_on_schedule("mine", "run"))["task"] == "welcome"
    assert (await client.delete_schedule("mine"))["name"] == "mine"
    assert [one["name"] for one in await client.schedules()] == ["nightly"]
    assert (await client.me())["role"] == "admin"
    assert [one["name"] for one in await client.tasks()] == ["fails", "report", "welcome"]
    assert (await client.routes())["carriers"] == ["main"]
    assert await client.workers() == []
    assert await client.rollouts() == []
    assert await client.migrations() == []
    assert (await client.failures())["groups"] == []
    assert (await client.figures(span="5m"))["span_ms"] == 300_000
    key = await client.create_key("other", "read", queues=["email"])
    assert (await client.rotate_key(key["id"]))["key"] != key["key"]
    assert (await client.revoke_key(key["id"]))["revoked_at"]
    assert len(await client.keys()) == 2
    assert (await client.audit(act="keys.create"))["entries"]
    act = await client.act_on_all("cancel", queue="email", dry_run=True)
    assert (await client.act(act["id"]))["dry_run"]


def answering(answers: list[httpx.Response | Exception], seen: list[httpx.Request]) -> httpx.AsyncClient:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return httpx.AsyncClient(transport=httpx.MockTransport(handle))


def problem(status: int, kind: str, **headers: str) -> httpx.Response:
    body = {"type": f"urn:headway:problem:{kind}", "title": "t", "status": status, "detail": "d"}
    return httpx.Response(status, json=body, headers=headers)


MADE = {"id": "i", "task": "t", "queue": "q", "duplicate": False}


async def test_a_call_whose_answer_was_lost_is_sent_again_under_its_key() -> None:
    seen: list[httpx.Request] = []
    answers: list[httpx.Response | Exception] = [
        httpx.ReadTimeout("lost"), problem(503, "carrier-unavailable"), problem(409, "idempotency-key-in-use"),
        httpx.Response(201, json=MADE),
    ]  # fmt: skip
    async with Client("http://x", "hw_secret", http=answering(answers, seen)) as client:
        assert (await client.create("t")).id == "i"
        assert "hw_secret" not in repr(client.__dict__)
    assert len(seen) == 4
    assert len({one.headers["idempotency-key"] for one in seen}) == 1
    assert seen[0].headers["authorization"] == "Bearer hw_secret"
    assert json.loads(seen[0].content) == {"task": "t"}


async def test_what_stays_wrong_is_raised_at_once_or_in_the_end() -> None:
    seen: list[httpx.Request] = []
    answers: list[httpx.Response | Exception] = [problem(422, "arguments")]
    answers += [problem(503, "carrier-unavailable") for _ in range(2)]
    async with Client("http://x", attempts=2, http=answering(answers, seen)) as client:
        with pytest.raises(ApiError, match="422 arguments: d") as refused:
            await client.create("t")
        assert not isinstance(refused.value, ApiUnavailableError)
        assert len(seen) == 1
        with pytest.raises(ApiUnavailableError):
            await client.create("t")
    assert len(seen) == 3


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"\xff", b'{"id": 7}'])
async def test_the_page_of_a_proxy_is_no_answer(content: bytes) -> None:
    async with Client("http://x", http=answering([httpx.Response(200, content=content)], [])) as client:
        with pytest.raises(ApiError, match="not that of a Headway server"):
            await client.create("t")


async def test_a_client_that_is_not_open_or_has_no_url_says_so() -> None:
    with pytest.raises(ConfigError, match="must begin with http"):
        Client("localhost:8000")
    with pytest.raises(ConfigError, match="not open"):
        await Client("http://localhost").me()


async def test_a_stream_is_read_block_by_block() -> None:
    async def lines() -> AsyncIterator[str]:
        for line in (
            "retry: 2000",
            "",
            ": comment",
            "id: 7",
            "",
            "id: 8",
            "event: job",
            'data: {"kind":',
            'data: "x"}',
            "",
        ):
            yield line

    found = [one async for one in blocks(lines())]
    assert [(one.type, one.data, one.id) for one in found] == [("", {}, "7"), ("job", {"kind": "x"}, "8")]


def public(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: member for name, member in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_the_blocking_twin_has_the_same_methods_with_the_same_arguments() -> None:
    own, twin = public(Client), public(SyncClient)
    assert twin.keys() == own.keys() - {"open"}
    for name, member in twin.items():
        assert list(inspect.signature(member).parameters) == list(inspect.signature(own[name]).parameters), (
            name
        )


def test_the_blocking_twin_works_and_hears_live_events(tmp_path: Path) -> None:
    (tmp_path / "twin_app.py").write_text(
        "from headway import Headway\n"
        f'app = Headway("twin", url="sqlite:///{tmp_path}/j.db", access="sqlite:///{tmp_path}/a.db")\n'
        '@app.task(name="hello")\nasync def hello(n: int) -> None: ...\n'
    )
    with ApiServer("twin_app:app", tmp_path) as server, SyncClient(server.url) as client:
        events = client.events(kind=["enqueued"])
        assert next(events).type == "hello"
        made = client.create("hello", [1])
        assert next(events).data["job"] == made.id
        assert client.job(made.id).state == "ready"
        assert [one.id for one in client.all_jobs()] == [made.id]
        with pytest.raises(ApiError, match="unknown-task"):
            client.create("nope")
