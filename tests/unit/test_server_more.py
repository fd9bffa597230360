"""HTTP jobs, hidden arguments and the records, by HTTP; what stands before every request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headway.http import call
from headway.records.store import RecordStore
from tests.unit.server_scene import Scene, served, shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    app = shop(tmp_path)
    call(app)

    @app.task(name="secretive", hide=["card.number", "pin"])
    async def secretive(card: dict[str, str], pin: int, *, note: str = "") -> None: ...

    async with served(app) as scene:
        yield scene


async def test_an_http_job_is_made_of_a_request(scene: Scene) -> None:
    client = scene.client()
    body: dict[str, Any] = {
        "method": "POST",
        "url": "https://crm.example/x",
        "json": {"id": 1},
        "options": {"delay": "1m"},
    }
    made = await client.post("/v1/http-jobs", json=body)
    assert (made.status_code, made.json()["task"]) == (201, "headway.http.call")
    job = (await client.get(f"/v1/jobs/{made.json()['id']}")).json()
    assert (job["state"], job["queue"], job["args"][0]["url"]) == (
        "scheduled",
        "http",
        "https://crm.example/x",
    )
    for wrong in (
        {"method": "post"}, {"url": "ftp://x"}, {"body": "two"}, {"timeout": 7200}, {"headers": {"authorization": "Basic x"}},
    ):  # fmt: skip
        answer = await client.post("/v1/http-jobs", json={**body, **wrong})
        assert (wrong, answer.status_code) == (wrong, 422)
    with_data = {"method": "POST", "url": "https://crm.example/x", "data": "aGVsbG8="}
    assert (await client.post("/v1/http-jobs", json=with_data)).status_code == 201
    assert (await client.post("/v1/http-jobs", json={**with_data, "data": "aGVsbG8"})).status_code == 422
    assert (await client.post("/v1/http-jobs", json={**with_data, "data": "<>"})).status_code == 400
    assert (await client.post("/v1/http-jobs", json={**body, "colour": 1})).status_code == 400


async def test_an_app_without_http_jobs_says_so(tmp_path: Path) -> None:
    async with served(shop(tmp_path)) as scene:
        answer = await scene.client().post(
            "/v1/http-jobs", json={"method": "GET", "url": "https://x.example"}
        )
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:headway:problem:carrier-cannot")


async def test_hidden_arguments_are_shown_to_nobody(scene: Scene) -> None:
    client = scene.client()
    body = {"task": "secretive", "args": [{"number": "4111", "name": "x"}, 1234], "kwargs": {"note": "n"}}
    job = (await client.post("/v1/jobs", json=body)).json()["id"]
    shown = (await client.get(f"/v1/jobs/{job}")).json()
    assert shown["args"] == []
    assert shown["kwargs"] == {"card": {"number": "***", "name": "x"}, "pin": "***", "note": "n"}
    for path in ("/v1/jobs", "/v1/audit"):
        text = (await client.get(path)).text
        assert "4111" not in text
        assert "1234" not in text


async def test_records_are_written_by_the_server_and_searched(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    app = shop(tmp_path, records=url)
    await RecordStore(url, namespace="shop").upgrade()
    async with served(app) as scene:
        client = scene.client()
        job = (await client.post("/v1/jobs", json={"task": "welcome", "args": [1]})).json()["id"]

        async def recorded(*, removed: bool) -> list[Any]:
            while True:
                jobs: list[Any] = (await client.get("/v1/records?queue=email&tag=mail")).json()["jobs"]
                if jobs and bool(jobs[0]["removed_at"]) is removed:
                    return jobs
                await asyncio.sleep(0.1)

        async with asyncio.timeout(40):
            await recorded(removed=False)  # of what came and went before it began, a recorder knows nothing
            await client.post(f"/v1/jobs/{job}/cancel", json={"reason": "why"})
            await client.delete(f"/v1/jobs/{job}")
            found = await recorded(removed=True)
        assert (await client.get(f"/v1/jobs/{job}")).status_code == 404
        assert (found[0]["id"], found[0]["task"]) == (job, "welcome")
        told = (await client.get(f"/v1/jobs/{job}/timeline")).json()
        assert [one["kind"] for one in told["happenings"]][-2:] == ["cancelled", "removed"]
        for bad in ("argument=x", "after=x"):
            assert (await client.get(f"/v1/records?{bad}")).status_code == 422
        await scene.key("admin", name="boss")


async def test_an_app_without_records_says_what_it_cannot(scene: Scene) -> None:
    answer = await scene.client().get("/v1/records")
    assert (answer.status_code, "the setting `records`" in answer.json()["detail"]) == (409, True)


async def test_a_name_that_is_rebound_to_this_address_is_refused(tmp_path: Path) -> None:
    async with served(shop(tmp_path), hosts=("jobs.example.com",)) as scene:
        client = scene.client()
        for host, status in (
            ("localhost:8000", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("192.0.2.7", 200), ("jobs.example.com", 200),
            ("JOBS.example.com:443", 200), ("evil.example", 421), ("", 421), ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421), ("jobs.example.com.evil", 421), ("jobs.example.com@evil", 421),
        ):  # fmt: skip
            answer = await client.get("/healthz", headers={"host": host})
            assert (host, answer.status_code) == (host, status)


async def test_a_page_of_another_site_changes_nothing(scene: Scene) -> None:
    client = scene.client()
    for headers in (
        {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}, {"sec-fetch-site": "same-site"},
    ):  # fmt: skip
        answer = await client.post("/v1/queues/email/pause", headers=headers)
        assert (headers, answer.status_code) == (headers, 403)
    assert not (await client.get("/v1/queues/email")).json()["paused"]
    for headers in ({"origin": "http://localhost"}, {"sec-fetch-site": "same-origin"}, {}):
        assert (await client.post("/v1/queues/email/pause", headers=headers)).status_code == 200
    preflight = await client.options(
        "/v1/jobs", headers={"origin": "https://x.example", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in preflight.headers


async def test_every_answer_has_the_headers_that_protect_it(scene: Scene) -> None:
    client = scene.client()
    for path in ("/v1/me", "/healthz", "/nope", "/v1/jobs/x"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


async def test_bodies_are_bounded_and_must_be_json(tmp_path: Path) -> None:
    async with served(shop(tmp_path), max_body=1000) as scene:
        client = scene.client()
        job = b'{"task": "welcome", "args": [1]}'
        for content, headers, status in (
            (b" " * 2000, {"content-type": "application/json"}, 413),
            (job, {"content-type": "text/plain"}, 415),
            (job, {}, 415),
            (job, {"content-type": "application/json", "content-encoding": "gzip"}, 415),
            (b"", {"content-type": "application/json"}, 400),
            (b"{" * 900, {"content-type": "application/json"}, 400),
            (b"[" * 999, {"content-type": "application/json"}, 400),
            (b"\xff\xfe", {"content-type": "application/json"}, 400),
            (job, {"content-type": "application/json; charset=utf-8"}, 201),
        ):
            answer = await client.post("/v1/jobs", content=content, headers=headers)
            assert (content[:20], answer.status_code) == (content[:20], status)


async def test_readiness_names_what_does_not_answer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    client = scene.client()
    assert (await client.get("/readyz")).json()["ok"]
    await scene.state.services.shared.database.close()
    answer = await client.get("/readyz")
    wrong = [one["name"] for one in answer.json()["dependencies"] if not one["ok"]]
    assert (answer.status_code, wrong) == (503, ["access database"])
    await scene.state.services.shared.database.open()
