"""Who may call which route: made from the table of routes, so that a coming one is held to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from headway.server.access.caller import Role, Scope
from headway.server.access.keys import make_key, prefix_of
from headway.server.rest.table import ROUTES
from tests.unit.server_scene import Scene, served, shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.server.rest.operation import Route

PATHS: Final = {
    "job_id": "01k3x7m2q9v5c8b4n6t0",
    "queue": "email",
    "schedule": "nightly",
    "worker": "web-1",
    "task": "welcome",
    "group": "0123",
    "key": "0123456789",
    "act_id": "0123456789",
    "migration": "0123456789",
}
GUARDED: Final = [route for route in ROUTES if route.role is not None]
BELOW: Final = [(route, role) for route in GUARDED for role in Role if not role.includes(route.role or role)]


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def filled(route: Route) -> str:
    return route.path.format(**PATHS)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with served(shop(tmp_path)) as scene:
        yield scene


async def test_without_a_key_each_route_is_401_and_says_so(scene: Scene) -> None:
    await scene.key("read")
    for route in GUARDED:
        answer = await scene.client().request(route.method, filled(route))
        assert (named(route), answer.status_code) == (named(route), 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        if route.method != "HEAD":
            assert answer.json()["type"] == "urn:headway:problem:unauthorized"


async def test_with_a_key_that_is_not_good_each_route_is_401(scene: Scene) -> None:
    revoked = await scene.key("admin", name="revoked")
    record = await scene.keyring.find(revoked)
    assert record is not None
    await scene.keyring.revoke(record)
    end = scene.app.clock.now_ms() + 200
    expired = await scene.key("admin", name="expired", expires_ms=end)
    while scene.app.clock.now_ms() < end:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.01)
    scene.keyring._forget()
    bad = [revoked, expired, make_key().text, "", "x", "hw_" + "0" * 10 + "_" + "0" * 32, "é" * 40]
    for number, route in enumerate(GUARDED):
        text = bad[number % len(bad)]
        client = scene.client(address=f"127.0.0.{number + 1}")
        answer = await client.request(
            route.method,
            filled(route),
            headers={b"authorization": f"Bearer {text}".encode("latin-1", "replace")},
        )
        assert (named(route), answer.status_code) == (named(route), 401)


async def test_below_its_role_each_route_is_403(scene: Scene) -> None:
    keys = {role: await scene.key(role, name=role) for role in Role}
    assert BELOW
    for route, role in BELOW:
        answer = await scene.client(keys[role]).request(route.method, filled(route))
        assert (named(route), role, answer.status_code) == (named(route), role, 403)
        assert answer.json()["type"] == "urn:headway:problem:role"


async def test_with_its_role_no_route_is_401_or_403(scene: Scene) -> None:
    keys = {role: await scene.key(role, name=role) for role in Role}
    for route in GUARDED:
        if route.path == "/v1/events":
            continue
        assert route.role is not None
        answer = await scene.client(keys[route.role]).request(route.method, filled(route))
        assert answer.status_code not in {401, 403, 500}, (named(route), answer.text)


async def test_public_routes_need_no_key(scene: Scene) -> None:
    await scene.key("read")
    public = [route for route in ROUTES if route.role is None]
    assert {route.path for route in public} == {"/healthz", "/readyz"}
    for route in public:
        assert (await scene.client().get(route.path)).status_code == 200


async def test_a_server_of_this_machine_is_open_until_the_first_key(scene: Scene) -> None:
    assert (await scene.client().get("/v1/me")).json()["role"] == "admin"
    assert (await scene.client(address="192.0.2.7").get("/v1/me")).status_code == 401
    await scene.key("read")
    assert (await scene.client().get("/v1/me")).status_code == 401


async def test_a_key_for_a_queue_sees_and_touches_no_other(scene: Scene) -> None:
    admin = scene.client(await scene.key("admin", name="boss"))
    mine = scene.client(await scene.key("operate", Scope(queues=("email",)), name="mail"))
    other = (await admin.post("/v1/jobs", json={"task": "report", "args": ["x"]})).json()["id"]
    own = (await mine.post("/v1/jobs", json={"task": "welcome", "args": [1]})).json()["id"]
    assert (await mine.post("/v1/jobs", json={"task": "report", "args": ["x"]})).status_code == 403
    moved = {"task": "welcome", "args": [1], "options": {"queue": "default"}}
    assert (await mine.post("/v1/jobs", json=moved)).status_code == 403
    bulk = (await mine.post("/v1/jobs/bulk", json={"jobs": [{"task": "report", "args": ["x"]}]})).json()
    assert (bulk["accepted"], bulk["jobs"][0]["error"]["kind"]) == (0, "out-of-scope")
    assert [job["id"] for job in (await mine.get("/v1/jobs")).json()["jobs"]] == [own]
    assert (await mine.get("/v1/jobs?queue=default")).json()["jobs"] == []
    assert (await mine.get(f"/v1/jobs/{other}")).status_code == 404
    for act in ("cancel", "retry", "promote"):
        assert (await mine.post(f"/v1/jobs/{other}/{act}")).status_code == 404
    assert (await mine.delete(f"/v1/jobs/{other}")).status_code == 404
    batch = (await mine.post("/v1/jobs/batch", json={"act": "cancel", "ids": [other, own]})).json()
    assert [one["done"] for one in batch["jobs"]] == [False, True]
    assert {one["name"] for one in (await mine.get("/v1/queues")).json()["queues"]} == {"email"}
    assert (await mine.post("/v1/queues/default/pause")).status_code == 403
    assert (await mine.post("/v1/queues/email/pause")).status_code == 200
    assert (await mine.get("/v1/schedules")).status_code == 403
    assert (await mine.get("/v1/tasks")).json()["tasks"][0]["name"] == "welcome"


async def test_a_key_for_a_task_cannot_empty_a_queue(scene: Scene) -> None:
    await scene.key("admin", name="boss")
    mine = scene.client(await scene.key("operate", Scope(tasks=("welcome",)), name="one task"))
    for act in ("drain", "pause", "resume"):
        assert (await mine.post(f"/v1/queues/email/{act}")).status_code == 403


async def test_a_rotated_key_is_good_for_a_while_and_a_revoked_one_at_once_not(scene: Scene) -> None:
    admin = scene.client(await scene.key("admin", name="boss"))
    made = (await admin.post("/v1/keys", json={"name": "ci", "role": "read"})).json()
    old = scene.client(made["key"])
    assert (await old.get("/v1/me")).json()["who"] == f"key ci ({made['prefix']})"
    fresh = (await admin.post(f"/v1/keys/{made['id']}/rotate", json={"grace": "1h"})).json()
    assert fresh["id"] == made["id"]
    assert [(await scene.client(one["key"]).get("/v1/me")).status_code for one in (made, fresh)] == [200, 200]
    again = (await admin.post(f"/v1/keys/{made['id']}/rotate", json={"grace": "0s"})).json()
    states = [(await scene.client(one["key"]).get("/v1/me")).status_code for one in (made, fresh, again)]
    assert states == [401, 401, 200]
    assert (await admin.delete(f"/v1/keys/{made['id']}")).status_code == 200
    assert (await scene.client(again["key"]).get("/v1/me")).status_code == 401
    listed = next(one for one in (await admin.get("/v1/keys")).json()["keys"] if one["name"] == "ci")
    assert listed["revoked_at"] is not None
    assert "key" not in listed


async def test_when_a_key_was_used_last_is_kept(scene: Scene) -> None:
    admin = scene.client(await scene.key("admin", name="boss"))
    await admin.get("/v1/me")
    await scene.keyring.keep_uses()
    (boss,) = (await admin.get("/v1/keys")).json()["keys"]
    assert datetime.fromisoformat(boss["last_used_at"]) > datetime.now(UTC) - timedelta(minutes=1)


async def test_no_secret_is_kept_or_shown(scene: Scene, tmp_path: Path) -> None:
    admin = scene.client(await scene.key("admin", name="boss"))
    made = await admin.post(
        "/v1/keys", json={"name": "ci", "role": "read"}, headers={"idempotency-key": "one"}
    )
    secret = made.json()["key"].rpartition("_")[2]
    again = await admin.post(
        "/v1/keys", json={"name": "ci", "role": "read"}, headers={"idempotency-key": "one"}
    )
    assert again.status_code == 409
    assert again.json()["type"] == "urn:headway:problem:answer-not-kept"
    assert secret not in (await admin.get("/v1/audit")).text
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("access.db*"))  # noqa: ASYNC240 - a small file
    assert secret.encode() not in kept
    assert b"boss" in kept


async def test_wrong_keys_from_one_address_are_cut_off(scene: Scene) -> None:
    good = await scene.key("read")
    statuses = [
        (await scene.client(make_key().text, address="192.0.2.1").get("/v1/me")).status_code
        for _ in range(65)
    ]
    assert statuses[:60] == [401] * 60
    assert statuses[-1] == 429
    assert (await scene.client(good, address="192.0.2.2").get("/v1/me")).status_code == 200


async def test_a_caller_above_its_rate_is_429_and_told_when_to_go_on(scene: Scene) -> None:
    client = scene.client(await scene.key("read", rate=3))
    answers = [await client.get("/v1/me") for _ in range(7)]
    assert [one.status_code for one in answers].count(429) >= 1
    refused = next(one for one in answers if one.status_code == 429)
    assert refused.headers["ratelimit-policy"] == '"minute";q=3;w=60'
    assert refused.headers["ratelimit"].startswith('"minute";r=0;t=')
    assert 0 < int(refused.headers["retry-after"]) <= 60


def test_a_key_has_a_form_by_which_leaked_ones_are_found() -> None:
    fresh = make_key()
    assert prefix_of(fresh.text) == fresh.prefix
    assert fresh.text.startswith(f"hw_{fresh.prefix}_")
    assert prefix_of(fresh.text.upper()) is None
    assert len({make_key().text for _ in range(100)}) == 100
