"""Jobs, queues and acts by HTTP."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headway.job import JobId, JobState
from headway.runtime.worker import Worker
from headway.server.services import acts as acts_service
from tests.unit.server_scene import Scene, served, shop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    import httpx


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with served(shop(tmp_path)) as scene:
        yield scene


@pytest.fixture
async def client(scene: Scene) -> httpx.AsyncClient:
    return scene.client()


@asynccontextmanager
async def working(scene: Scene) -> AsyncGenerator[None]:
    worker = Worker(scene.app)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await running


async def made(client: httpx.AsyncClient, task: str = "welcome", *args: Any, **options: Any) -> str:
    body: dict[str, Any] = {"task": task, "args": list(args or (1,))}
    if options:
        body["options"] = options
    answer = await client.post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def test_a_job_is_made_run_and_its_result_read(scene: Scene, client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/jobs", json={"task": "report", "args": ["x"], "kwargs": {"at": "2030-01-31T09:00:00Z"}}
    )
    assert answer.status_code == 201
    job_id = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"
    assert (await client.get(f"/v1/jobs/{job_id}/result")).status_code == 409
    async with working(scene):
        job = (await client.get(f"/v1/jobs/{job_id}/wait?timeout=20s")).json()
    assert (job["state"], job["result"]) == ("succeeded", {"title": "x", "at": "2030-01-31T09:00:00Z"})
    assert (await client.get(f"/v1/jobs/{job_id}/result")).json()["result"] == job["result"]


async def test_a_failed_job_shows_its_attempts_logs_and_error_group(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    ids = [await made(client, "fails", n) for n in range(3)]
    async with working(scene):
        for one in ids:
            await client.get(f"/v1/jobs/{one}/wait?timeout=20s")
    result = (await client.get(f"/v1/jobs/{ids[0]}/result")).json()
    assert (result["state"], result["error"]["message"]) == ("failed", "code 0")
    assert [one["message"] for one in (await client.get(f"/v1/jobs/{ids[0]}/logs")).json()["lines"]] == [
        "about to fail"
    ]
    assert (await client.get(f"/v1/jobs/{ids[0]}/attempts")).json()["attempt"] == 1
    failures = (await client.get("/v1/failures")).json()
    (group,) = failures["groups"]
    assert (group["count"], group["type"], group["queues"]) == (3, "ValueError", ["bad"])
    assert "fails" in group["place"]
    assert (await client.get(f"/v1/failures/{group['id']}")).json()["count"] == 3
    assert (await client.get("/v1/failures/nosuch")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"task": "nope"}, 422, "unknown-task"),
        ({"task": "welcome", "args": ["x"]}, 422, "arguments"),
        ({"task": "welcome", "args": [1, "a", 2]}, 422, "arguments"),
        ({"task": "welcome", "kwargs": {"nobody": 1}}, 422, "arguments"),
        ({"task": "welcome", "args": [1], "options": {"priority": 10}}, 422, "arguments"),
        ({"task": "welcome", "args": [1], "options": {"delay": "5 years"}}, 422, "arguments"),
        ({"task": "welcome", "args": [1], "options": {"colour": 1}}, 400, "malformed"),
        ({"task": 7}, 400, "malformed"),
        ({}, 400, "malformed"),
        ([], 400, "malformed"),
        ({"task": "welcome", "args": ["x" * 300_000]}, 422, "arguments"),
        ({"task": "report", "args": ["x" * 300_000]}, 413, "payload-too-large"),
    ],
    ids=repr,
)
async def test_a_job_that_cannot_be_is_refused_and_said_why(
    client: httpx.AsyncClient, body: Any, status: int, kind: str
) -> None:
    answer = await client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:headway:problem:{kind}")
    assert answer.json()["detail"]
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_of_many_jobs_a_wrong_one_is_refused_alone(client: httpx.AsyncClient) -> None:
    items = [{"task": "welcome", "args": [1]}, {"task": "welcome"}, 7, {"task": "report", "args": ["x"]}]
    answer = (await client.post("/v1/jobs/bulk", json={"jobs": items})).json()
    assert (answer["accepted"], answer["refused"]) == (2, 2)
    assert [one["error"] and one["error"]["kind"] for one in answer["jobs"]] == [
        None,
        "arguments",
        "malformed",
        None,
    ]
    listed = {job["id"] for job in (await client.get("/v1/jobs")).json()["jobs"]}
    assert listed == {one["id"] for one in answer["jobs"] if one["id"]}
    too_many = {"jobs": [{"task": "welcome", "args": [1]}] * 10_001}
    assert (await client.post("/v1/jobs/bulk", json=too_many)).status_code == 400


async def test_a_repeated_request_is_answered_as_the_first(client: httpx.AsyncClient) -> None:
    body = {"task": "welcome", "args": [1]}
    first, second = [
        await client.post("/v1/jobs", json=body, headers={"idempotency-key": "k-1"}) for _ in range(2)
    ]
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    other = await client.post(
        "/v1/jobs", json={"task": "welcome", "args": [2]}, headers={"idempotency-key": "k-1"}
    )
    assert (other.status_code, other.json()["type"]) == (422, "urn:headway:problem:idempotency-key-reused")
    assert len((await client.get("/v1/jobs")).json()["jobs"]) == 1
    for bad in ("", "x" * 256, "\u00e9"):
        answer = await client.post("/v1/jobs", json=body, headers={b"idempotency-key": bad.encode("latin-1")})
        assert answer.status_code == 400


async def test_a_request_whose_server_died_in_the_middle_makes_no_second_job(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    body = {"task": "welcome", "args": [1]}
    first = await client.post("/v1/jobs", json=body, headers={"idempotency-key": "k"})
    await scene.state.replays.forget("local", "k")  # as if it had died before the answer was kept
    second = await client.post("/v1/jobs", json=body, headers={"idempotency-key": "k"})
    assert second.json() == {**first.json(), "duplicate": True}


async def test_two_at_once_with_one_key_make_one_job(client: httpx.AsyncClient) -> None:
    body = {"task": "welcome", "args": [1]}
    answers = await asyncio.gather(
        *(client.post("/v1/jobs", json=body, headers={"idempotency-key": "k"}) for _ in range(8))
    )
    assert {one.status_code for one in answers} <= {201, 409}
    assert len((await client.get("/v1/jobs")).json()["jobs"]) == 1


async def test_pages_follow_each_other_by_link(client: httpx.AsyncClient) -> None:
    ids = {await made(client) for _ in range(7)}
    url, found = "/v1/jobs?limit=3&state=ready&queue=email", []
    while url:
        answer = await client.get(url)
        found += [job["id"] for job in answer.json()["jobs"]]
        link = answer.links.get("next")
        url = link["url"] if link else ""
    assert len(found) == 7
    assert set(found) == ids
    for bad in (
        "limit=0",
        "limit=1001",
        "limit=x",
        "state=asleep",
        "colour=red",
        "limit=1&limit=2",
    ):
        answer = await client.get(f"/v1/jobs?{bad}")
        assert (bad, answer.status_code) == (bad, 400)


async def test_acts_on_one_job_say_what_stands_in_their_way(client: httpx.AsyncClient) -> None:
    job = await made(client, "welcome", 1, delay="1h")
    assert (await client.post(f"/v1/jobs/{job}/promote")).json()["done"]
    again = await client.post(f"/v1/jobs/{job}/promote")
    assert (again.status_code, "is ready: it cannot be promoted" in again.json()["detail"]) == (409, True)
    cancelled = await client.post(f"/v1/jobs/{job}/cancel", json={"reason": "no more"})
    assert cancelled.json() == {"id": job, "done": True, "state": "cancelled"}
    assert (await client.get(f"/v1/jobs/{job}")).json()["reason"] == "no more"
    assert (await client.post(f"/v1/jobs/{job}/cancel")).status_code == 409
    assert (await client.post(f"/v1/jobs/{job}/retry")).json()["done"]
    assert (await client.delete(f"/v1/jobs/{job}")).json()["done"]
    for path in (f"/v1/jobs/{job}", "/v1/jobs/nonsense"):
        assert (await client.get(path)).status_code == 404


async def test_a_waiting_job_gets_another_priority_and_due_time(client: httpx.AsyncClient) -> None:
    job = await made(client)
    due = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    changed = (await client.patch(f"/v1/jobs/{job}", json={"priority": 9, "due_at": due.isoformat()})).json()
    assert (changed["id"], changed["priority"], changed["state"]) == (job, 9, "scheduled")
    assert datetime.fromisoformat(changed["due_at"]) == due
    assert changed["args"] == [1]
    assert (await client.patch(f"/v1/jobs/{job}", json={"due_at": None})).json()["state"] == "ready"
    assert (await client.get(f"/v1/jobs/{job}")).json()["priority"] == 9
    assert (await client.patch(f"/v1/jobs/{job}", json={"priority": 11})).status_code == 422
    assert (await client.patch(f"/v1/jobs/{job}", json={"state": "ready"})).status_code == 400
    await client.post(f"/v1/jobs/{job}/cancel")
    assert (await client.patch(f"/v1/jobs/{job}", json={"priority": 1})).status_code == 409


async def test_a_change_that_was_interrupted_is_finished(
    scene: Scene, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await made(client)
    changing = scene.state.services.changing
    store = scene.app.carriers["main"]
    whole = store.enqueue

    async def dies(_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(store, "enqueue", dies)
    with pytest.raises(asyncio.CancelledError):
        await client.patch(f"/v1/jobs/{job}", json={"priority": 9})
    monkeypatch.setattr(store, "enqueue", whole)
    assert (await client.get(f"/v1/jobs/{job}")).json()["state"] == "cancelled"
    monkeypatch.setattr("headway.server.services.changing._INTERRUPTED_MS", -1)
    assert await changing.finish_interrupted() == 1
    found = (await client.get(f"/v1/jobs/{job}")).json()
    assert (found["state"], found["priority"]) == ("ready", 9)
    assert await changing.finish_interrupted() == 0


async def test_a_queue_is_paused_until_an_instant(scene: Scene, client: httpx.AsyncClient) -> None:
    until = datetime.now(UTC) + timedelta(seconds=1.5)
    paused = (await client.post("/v1/queues/email/pause", json={"until": until.isoformat()})).json()
    assert paused["paused"]
    assert datetime.fromisoformat(paused["paused_until"]) - until < timedelta(milliseconds=1)
    async with asyncio.timeout(10):
        while (await client.get("/v1/queues/email")).json()["paused"]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    assert datetime.now(UTC) >= until
    assert (
        await client.post("/v1/queues/email/pause", json={"until": "2001-01-01T00:00:00Z"})
    ).status_code == 422
    await client.post("/v1/queues/email/pause")
    assert (await client.get("/v1/queues/email")).json()["paused_until"] is None
    assert not (await client.post("/v1/queues/email/resume")).json()["paused"]


async def test_a_queue_with_a_slash_in_its_name(client: httpx.AsyncClient) -> None:
    await made(client, "welcome", 1, queue="a/b c")
    assert (await client.get("/v1/queues/a%2Fb%20c")).json()["counts"]["ready"] == 1
    assert (await client.post("/v1/queues/a%2Fb%20c/drain")).json()["removed"] == 1


async def test_jobs_that_ended_are_cleaned_away(client: httpx.AsyncClient) -> None:
    job = await made(client)
    await client.post(f"/v1/jobs/{job}/cancel")
    assert (await client.post("/v1/queues/email/clean", json={"state": "ready"})).status_code == 422
    assert (await client.post("/v1/queues/email/clean", json={"state": "cancelled"})).json()["removed"] == 1


async def ended(client: httpx.AsyncClient, act: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/acts/{act}")).json()
            if found["state"] in {"done", "cancelled", "failed"}:
                return found
            await asyncio.sleep(0.05)


async def test_an_act_on_all_that_match_counts_and_then_does(
    scene: Scene, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts_service, "PAGE", 3)
    ids = [await made(client) for _ in range(8)]
    other = await made(client, "report", "x")
    wish = {"act": "cancel", "query": {"queue": ["email"], "state": ["ready"]}, "dry_run": True}
    dry = await client.post("/v1/acts", json=wish)
    assert dry.status_code == 202
    counted = await ended(client, dry.json()["id"])
    assert (counted["matched"], counted["done"]) == (8, 0)
    done = await ended(client, (await client.post("/v1/acts", json={**wish, "dry_run": False})).json()["id"])
    assert (done["state"], done["matched"], done["done"], done["passed_over"]) == ("done", 8, 8, 0)
    states = {(await client.get(f"/v1/jobs/{one}")).json()["state"] for one in ids}
    assert states == {"cancelled"}
    assert (await client.get(f"/v1/jobs/{other}")).json()["state"] == "ready"
    audit = (await client.get(f"/v1/audit?subject=act {done['id']}")).json()["entries"]
    touched = [job for entry in audit if entry["act"] == "jobs.cancel" for job in entry["after"]["jobs"]]
    assert sorted(touched) == sorted(ids)
    assert (await client.post(f"/v1/acts/{done['id']}/cancel")).status_code == 409


async def test_an_act_goes_on_in_another_server_and_leaves_later_jobs_alone(
    scene: Scene, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts_service, "PAGE", 2)
    monkeypatch.setattr(acts_service, "_LEASE_MS", 50)
    chores = scene.server.chores
    assert chores is not None
    await chores.services.stop()
    ids = [await made(client) for _ in range(6)]
    act = (await client.post("/v1/acts", json={"act": "cancel", "query": {"queue": ["email"]}})).json()["id"]
    await asyncio.sleep(0.01)
    later = await made(client)
    first = scene.state.services.acts
    for _ in range(6):  # counted, and one page done
        await first.work()
    assert (await client.get(f"/v1/acts/{act}")).json()["done"] > 0
    second = acts_service.Acts(scene.state.services.shared)
    async with asyncio.timeout(10):
        while (await client.get(f"/v1/acts/{act}")).json()["state"] != "done":  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(await second.work() / 50)
    states = [(await client.get(f"/v1/jobs/{one}")).json()["state"] for one in ids]
    assert states == ["cancelled"] * 6
    assert (await client.get(f"/v1/jobs/{later}")).json()["state"] == "ready"


async def test_an_act_is_cancelled_between_two_pages(
    scene: Scene, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts_service, "PAGE", 2)
    chores = scene.server.chores
    assert chores is not None
    await chores.services.stop()
    for _ in range(6):
        await made(client)
    act = (await client.post("/v1/acts", json={"act": "cancel", "query": {"queue": ["email"]}})).json()["id"]
    acts = scene.state.services.acts
    while (await client.get(f"/v1/acts/{act}")).json()["done"] < 2:
        await acts.work()
    assert (await client.post(f"/v1/acts/{act}/cancel")).json()["state"] == "cancelled"
    assert await acts.work() > 0
    left = await scene.app.carrier.counts(["email"])
    assert left[0].counts[JobState.READY] == 4


async def test_every_change_is_in_the_audit_log(client: httpx.AsyncClient) -> None:
    job = await made(client, "welcome", 1, delay="1h")
    await client.post(f"/v1/jobs/{job}/promote")
    await client.patch(f"/v1/jobs/{job}", json={"priority": 1})
    await client.post(f"/v1/jobs/{job}/cancel", json={"reason": "why not"})
    await client.post("/v1/queues/email/pause")
    await client.post("/v1/schedules/nightly/pause")
    await client.post("/v1/schedules/nightly/run")
    entries = (await client.get("/v1/audit?limit=50")).json()["entries"]
    assert [one["act"] for one in reversed(entries)] == [
        "jobs.create", "jobs.promote", "jobs.change", "jobs.cancel", "queues.pause", "schedules.pause", "schedules.run",
    ]  # fmt: skip
    cancelled = next(one for one in entries if one["act"] == "jobs.cancel")
    assert (cancelled["who"], cancelled["subject"]) == ("local", f"job {job}")
    assert (cancelled["before"]["state"], cancelled["after"]) == (
        "ready",
        {"state": "cancelled", "reason": "why not"},
    )
    page = await client.get("/v1/audit?limit=2&act=jobs.cancel")
    assert len(page.json()["entries"]) == 1
    assert (await client.get("/v1/audit?after=x")).status_code == 422


async def test_ids_of_others_are_no_way_in(client: httpx.AsyncClient) -> None:
    for path in ("/v1/jobs/..%2f..%2fkeys", "/v1/jobs/%00", "/v1/jobs/%ff%fe", f"/v1/jobs/{JobId('0' * 20)}"):
        assert (await client.get(path)).status_code == 404
