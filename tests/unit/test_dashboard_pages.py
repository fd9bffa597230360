"""The dashboard over HTTP: each page and act of its table, who may do what, and what strangers and odd names come to."""

from __future__ import annotations

import asyncio
import html
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway import Headway
from headway.brokers.base import JobQuery, QueueWant
from headway.brokers.url import pulled
from headway.dashboard.answers import POLICY
from headway.dashboard.door import SESSION
from headway.dashboard.fields import fields_of, values_of
from headway.dashboard.serving import pages_of
from headway.dashboard.sessions import begin, form_token, read, same_token, written
from headway.dashboard.table import ACTS, PAGES, find
from headway.errors import BrokerUnavailableError, HeadwayError
from headway.http import call
from headway.job import JobState, WorkerId
from headway.records.store import RecordStore
from headway.server.access.caller import Role
from headway.server.running import Server, ServerOptions
from headway.server.services.tasks import arguments_schema
from tests.unit.server_scene import Scene, shop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    import httpx

HOSTILE: Final = '"><script>alert(1)</script><b>\u202e'
ROLES: Final = (Role.READ, Role.OPERATE, Role.ADMIN)


@asynccontextmanager
async def served(app: Headway, **options: Any) -> AsyncGenerator[Scene]:
    server = Server(app, ServerOptions(**{"open_without_keys": True, **options}), pages_of)
    async with server.running() as state:
        scene = Scene(server, state)
        try:
            yield scene
        finally:
            await scene.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with served(shop(tmp_path)) as scene:
        yield scene


def token_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


async def signed_in(scene: Scene, role: Role) -> httpx.AsyncClient:
    client = scene.client()
    key = await scene.key(role, name=f"{role}-{len(scene._clients)}")
    page = await client.get("/sign-in")
    form = {"key": key, "csrf": token_of(page.text)}
    answer = await client.post("/sign-in", data=form)
    assert answer.status_code == 303, answer.text
    return client


async def act(client: httpx.AsyncClient, path: str, **form: Any) -> httpx.Response:
    """Do something as the script does, with the token of a page."""
    page = await client.get("/")
    return await client.post(
        path, data={"csrf": token_of(page.text), **form}, headers={"accept": "application/json"}
    )


def path_of(entry: Any, name: str = "x") -> str:
    return re.sub(r"\{[^}]+\}", name, entry.path)


# --- all of the table -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
async def test_every_page_needs_its_role(scene: Scene, page: Any) -> None:
    await scene.key(Role.READ)  # with the first key nobody comes in without one
    stranger = await scene.client().get(path_of(page))
    assert stranger.status_code == 303
    assert stranger.headers["location"].startswith("/sign-in?to=")
    for role in ROLES:
        answer = await (await signed_in(scene, role)).get(path_of(page))
        assert (answer.status_code == 403) is (not role.includes(page.role)), role


@pytest.mark.parametrize("entry", ACTS, ids=lambda entry: entry.path)
async def test_every_act_needs_its_role_and_a_form_of_ours(scene: Scene, entry: Any) -> None:
    await scene.key(Role.READ)
    data = {"accept": "application/json"}
    assert (await scene.client().post(path_of(entry), headers=data)).status_code == 401
    for role in ROLES:
        client = await signed_in(scene, role)
        for wrong in ("", "0" * 64, "ü"):
            answer = await client.post(path_of(entry), data={"csrf": wrong}, headers=data)
            assert answer.status_code == 403, (role, wrong)
            assert "nothing was done" in answer.json()["detail"]
        told = await act(client, path_of(entry))
        if role.includes(entry.role):
            assert told.status_code not in {401, 403, 500}, told.text
        else:
            assert told.status_code == 403
            assert f"needs the role {entry.role}" in told.json()["detail"]


async def test_a_token_of_another_session_is_none(scene: Scene) -> None:
    one, other = await signed_in(scene, Role.ADMIN), await signed_in(scene, Role.ADMIN)
    token = token_of((await one.get("/")).text)
    answer = await other.post(
        "/queues/email/pause", data={"csrf": token}, headers={"accept": "application/json"}
    )
    assert answer.status_code == 403
    assert not await scene.app.carrier.paused()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
    ],
)
async def test_a_form_of_another_site_is_refused(scene: Scene, headers: dict[str, str]) -> None:
    client = scene.client()
    token = token_of((await client.get("/")).text)
    answer = await client.post("/queues/email/pause", data={"csrf": token}, headers=headers)
    assert answer.status_code == 403
    assert not await scene.app.carrier.paused()


@pytest.mark.parametrize(
    "path", [*(path_of(page) for page in PAGES), "/sign-in", "/none", "/jobs/none", "/assets/x/none.js"]
)
async def test_every_answer_has_the_policy(scene: Scene, path: str) -> None:
    answer = await scene.client().get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"


# --- the door ---------------------------------------------------------------------------------------------------------


async def test_without_keys_this_machine_alone_comes_in(scene: Scene) -> None:
    assert (await scene.client().get("/")).status_code == 200
    assert (await scene.client(address="192.0.2.1").get("/")).status_code == 303
    await scene.key(Role.READ)
    assert (await scene.client().get("/")).status_code == 303


async def test_a_session_ends_with_its_key(scene: Scene) -> None:
    client = await signed_in(scene, Role.OPERATE)
    assert (await client.get("/jobs")).status_code == 200
    [record] = await scene.keyring.list()
    await scene.key(Role.READ, name="another")  # while there is none, this machine comes in without
    await scene.keyring.revoke(record)
    assert (await client.get("/jobs")).status_code == 303


async def test_a_session_ends_when_somebody_signs_out(scene: Scene) -> None:
    client = await signed_in(scene, Role.READ)
    token = token_of((await client.get("/")).text)
    assert (await client.post("/sign-out", data={"csrf": token})).headers["location"] == "/sign-in"
    assert (await client.get("/")).status_code == 303


async def test_the_cookie_is_for_this_site_and_no_script(scene: Scene) -> None:
    await scene.key(Role.READ, name="first")
    client = scene.client()
    page = await client.get("/sign-in")
    form = {"csrf": token_of(page.text), "key": await scene.key(Role.READ)}
    answer = await client.post("/sign-in", data=form)
    [cookie] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(SESSION)]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    assert "secure" not in cookie.lower()  # over plain HTTP on this machine; the next one is not
    other = scene.client()
    page = await other.get("https://localhost/sign-in")
    secure = await other.post("https://localhost/sign-in", data={**form, "csrf": token_of(page.text)})
    assert "secure" in secure.headers["set-cookie"].lower()
    assert form["key"] not in answer.text + str(answer.headers)


async def test_wrong_keys_are_counted(scene: Scene) -> None:
    await scene.key(Role.READ)
    client = scene.client()
    token = token_of((await client.get("/sign-in")).text)
    codes = [
        (await client.post("/sign-in", data={"csrf": token, "key": f"hw_{n:08}_{'x' * 40}"})).status_code
        for n in range(70)
    ]
    assert codes[0] == 401
    assert codes[-1] == 429


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "", "javascript:alert(1)"]
)
async def test_after_signing_in_nobody_is_sent_elsewhere(scene: Scene, to: str) -> None:
    client = scene.client()
    key = await scene.key(Role.READ)
    page = await client.get("/sign-in", params={"to": to})
    token = token_of(page.text)
    answer = await client.post("/sign-in", params={"to": to}, data={"csrf": token, "key": key})
    assert answer.headers["location"] == "/"


@given(st.text())
def test_no_text_is_a_session(text: str) -> None:
    session = read(text)
    assert session is None or not session.made_with(b"digest", 0)


def test_a_session_is_good_for_its_key_and_its_time_only() -> None:
    session = begin("key1", b"digest", 1000)
    assert read(written(session)) == session
    assert session.made_with(b"digest", 1000)
    assert not session.made_with(b"another", 1000)
    assert not session.made_with(b"digest", session.until_ms)
    longer = written(session).replace(str(session.until_ms), str(session.until_ms + 1))
    assert not (read(longer) or session).made_with(b"digest", session.until_ms)
    assert not same_token(form_token(b"digest", "a"), form_token(b"digest", "b"))


# --- what people do ------------------------------------------------------------------------------------------------------


async def test_a_job_is_made_from_the_form_and_looked_at(scene: Scene) -> None:
    client = scene.client()
    page = await client.get("/new", params={"task": "welcome"})
    assert 'name="arg.user"' in page.text
    told = await act(client, "/new", task="welcome", **{"arg.user": "7", "arg.template": "rich"}, delay="1h")
    path = told.json()["location"]
    job = await client.get(path)
    assert job.status_code == 200
    assert "scheduled" in job.text
    [record] = (await scene.app.carrier.list(_all())).jobs
    assert record.state is JobState.SCHEDULED
    again = await client.get("/new", params={"like": record.id})
    assert 'value="7"' in again.text
    assert 'value="rich"' in again.text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"arg.user": "seven"}, "user: must be a number"),
        ({"arg.user": "7.5"}, "user"),
        ({}, "user"),
        ({"arg.user": "7", "delay": "soon"}, "not a duration"),
        ({"arg.user": "7", "priority": "99"}, "priority"),
    ],
)
async def test_what_is_wrong_is_said_on_the_form_which_keeps_the_rest(
    scene: Scene, form: dict[str, str], said: str
) -> None:
    told = await act(scene.client(), "/new", task="welcome", key="kept", **form)
    assert told.status_code == 422
    assert said in told.text
    assert 'class="wrong"' in told.text
    assert 'aria-invalid="true"' in told.text
    assert 'value="kept"' in told.text
    assert not form.get("arg.user") or f'value="{form["arg.user"]}"' in told.text
    assert (await scene.app.carrier.list(_all())).jobs == []


HTTP: Final = {
    "task": "headway.http.call",
    "method": "PUT",
    "url": "https://crm.example/hooks?x=1",
    "headers": "Accept: application/json\n\nAuthorization: Bearer secret://CRM",
    "kind": "JSON",
    "body": '{"id": 42,\r\n "name": "<b>"}',
    "timeout": "2m",
    "attempts": "3",
}


@pytest.fixture
async def http_scene(tmp_path: Path) -> AsyncIterator[Scene]:
    app = shop(tmp_path)
    call(app)
    async with served(app) as scene:
        yield scene


async def test_an_http_job_is_made_from_its_form(http_scene: Scene) -> None:
    client = http_scene.client()
    assert "Call a URL" in (await client.get("/new")).text
    told = await act(client, "/new", **HTTP, delay="1h", priority="7", key="once")
    assert told.json()["said"] == "The job was enqueued.", told.text
    again = await act(client, "/new", **HTTP, key="once")
    assert again.json()["location"] == told.json()["location"]
    [job] = (await client.get("/v1/jobs")).json()["jobs"]
    assert (job["state"], job["priority"], job["queue"]) == ("scheduled", 7, "http")
    [made] = job["args"]
    assert (made["method"], made["url"], made["json"]) == ("PUT", HTTP["url"], {"id": 42, "name": "<b>"})
    assert made["headers"] == {"Accept": "application/json", "Authorization": "Bearer secret://CRM"}
    assert (made["timeout"], made["attempts"]) == (120.0, 3)
    like = await client.get("/new", params={"like": job["id"]})
    for kept in (
        'value="https://crm.example/hooks?x=1"',
        "Accept: application/json",
        "&lt;b&gt;",
        'value="120s"',
    ):
        assert kept in like.text
    told = await act(client, "/schedules", **HTTP, name="ping", every="1h")
    assert told.status_code == 200, told.text
    [made] = [one for one in await http_scene.app.schedules.list() if one.name == "ping"]
    assert made.task == "headway.http.call"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("method", "POST\r\nHost: evil", "method must be"),
        ("method", "CONNECT", "method must be"),
        ("url", "", "url must have"),
        ("url", "javascript:alert(1)", "must begin with http"),
        ("url", "http://user:pw@crm.example/", "no user name"),
        ("url", "http://crm.example/\u202e", "is not allowed"),
        ("url", 'http://"><script>alert(1)</script>', "is no host"),
        ("headers", "Accept", "line 1: must be a name"),
        ("headers", "A: 1\na: 2", "line 2: a is there already"),
        ("headers", "Authorization: Basic dXNlcjpwdw==", "is a secret"),
        ("headers", "Host: evil.example", "is not yours to set"),
        ("headers", "<script>: x", "no name of a header"),
        ("body", "{", "is no JSON"),
        ("body", "[NaN]", "no value of JSON"),
        ("body", "null", "that is no body"),
        ("body", "[" * 100_000, "body"),
        ("timeout", "soon", "not a duration"),
        ("timeout", "2h", "timeout must be"),
        ("attempts", "1e3", "whole number"),
        ("delay", "soon", "not a duration"),
        ("priority", "99", "priority"),
        ("priority", "\u0663", "priority"),
        ("queue", "a\x00b", "queue"),
    ],
)
async def test_what_is_wrong_with_an_http_job_is_said_beside_its_field(
    http_scene: Scene, name: str, value: str, said: str
) -> None:
    told = await act(http_scene.client(), "/new", **{**HTTP, name: value})
    assert told.status_code == 422
    [beside] = re.findall(rf'<span id="h-{name}" class="wrong">([^<]*)</span>', told.text)
    assert said in html.unescape(beside) or name == said
    assert 'aria-invalid="true"' in told.text
    assert "<script>alert" not in told.text
    if name != "url":
        assert 'value="https://crm.example/hooks?x=1"' in told.text  # what was right is kept
    assert (await http_scene.app.carrier.list(_all())).jobs == []


async def test_an_app_without_http_jobs_has_no_form_for_them(scene: Scene) -> None:
    client = scene.client()
    assert "Call a URL" not in (await client.get("/new")).text
    assert (await client.get("/new", params={"task": HTTP["task"]})).status_code == 404
    assert (await act(client, "/new", **HTTP)).status_code == 404


async def test_marked_jobs_are_acted_on_and_told_of(scene: Scene) -> None:
    client = scene.client()
    for user in range(3):
        await act(client, "/new", task="welcome", **{"arg.user": str(user)})
    ids = [one.id for one in (await scene.app.carrier.list(_all())).jobs]
    told = await act(client, "/jobs/act", act="cancel", job=ids[:2])
    assert told.json()["said"] == "2 jobs were cancelled."
    told = await act(client, "/jobs/act", act="cancel", job=ids)
    assert told.json()["said"] == "1 job was cancelled; 2 could not be, in the state that they are in."
    told = await act(client, f"/jobs/{ids[0]}/act", act="remove")
    assert told.json() == {"said": "The job was removed.", "location": "/jobs"}
    assert (await client.get(f"/jobs/{ids[0]}")).status_code == 404
    assert (await act(client, "/jobs/act", act="explode", job=ids)).status_code == 422
    assert (await act(client, "/jobs/act", act="retry")).status_code == 422


async def test_a_queue_is_paused_for_a_while(scene: Scene) -> None:
    client = scene.client()
    told = await act(client, "/queues/email/pause", until="10m")
    assert told.json()["said"] == "Queue email is paused for 10m. Running jobs go on."
    assert "paused until" in (await client.get("/queues")).text
    await act(client, "/queues/email/resume")
    assert not await scene.app.carrier.paused()


async def test_a_worker_is_drained_from_its_page(scene: Scene) -> None:
    """The carrier takes it for one as long as it holds a job."""
    client = scene.client()
    await act(client, "/new", task="welcome", **{"arg.user": "1"})
    worker = WorkerId('web-1/4711-"x"')
    await pulled(scene.app.carrier).claim([QueueWant("email", 1)], worker=worker, limit=1, lease_ms=60_000)
    [path] = re.findall(r'action="(/workers/[^"]+/drain)"', (await client.get("/workers")).text)
    told = await act(client, html.unescape(path))
    assert told.json()["said"].startswith(f"Worker {worker} drains.")
    page = (await client.get("/workers")).text
    assert "drains: it claims no more" in page
    assert "/drain" not in page
    assert "workers.drain" in (await client.get("/audit")).text
    gone = await act(client, "/workers/nobody/drain")
    assert (gone.status_code, "no worker nobody" in gone.json()["detail"]) == (404, True)


async def test_a_queue_is_emptied_and_cleaned(scene: Scene) -> None:
    client = scene.client()
    for delay in ("", "1h"):
        for task, form in (("welcome", {"arg.user": "1"}), ("report", {"arg.title": "kept"})):
            await act(client, "/new", task=task, delay=delay, **form)
    told = await act(client, "/queues/email/drain")
    assert told.json()["said"] == "2 waiting jobs of queue email were removed."
    ids = [one.id for one in (await scene.app.carrier.list(_all())).jobs]
    await scene.app.carrier.cancel(ids)
    assert await states(scene) == {JobState.CANCELLED: 2}
    for form, said in (
        ({"state": "running"}, "state"),
        ({"state": "cancelled", "older": "soon"}, "duration"),
    ):
        refused = await act(client, "/queues/default/clean", **form)
        assert (refused.status_code, said in refused.json()["detail"]) == (422, True)
    told = await act(client, "/queues/default/clean", state="cancelled", older="1h")
    assert told.json()["said"] == "0 cancelled jobs of queue default were removed."
    told = await act(client, "/queues/default/clean", state="cancelled")
    assert told.json()["said"] == "2 cancelled jobs of queue default were removed."


async def test_without_script_an_act_leads_back_and_says_what_it_came_to(scene: Scene) -> None:
    client = scene.client()
    page = await client.get("/queues")
    answer = await client.post(
        "/queues/email/pause",
        data={"csrf": token_of(page.text)},
        headers={"referer": "http://localhost/queues?search=e"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/queues?search=e")
    assert "Queue email is paused until somebody resumes it" in (await client.get("/queues")).text
    assert "Queue email is paused until somebody resumes it" not in (await client.get("/queues")).text
    wrong = await client.post(
        "/queues/email/pause",
        data={"csrf": token_of(page.text), "until": "soon"},
        headers={"referer": "http://elsewhere/"},
    )
    assert wrong.headers["location"] == "/"
    assert "not a duration" in (await client.get("/")).text


async def test_a_schedule_is_paused_and_run(scene: Scene) -> None:
    client = scene.client()
    await act(client, "/schedules/nightly/pause")
    assert "paused" in (await client.get("/schedules")).text
    told = await act(client, "/schedules/nightly/run")
    assert told.json()["location"].startswith("/jobs/")


async def test_hidden_arguments_are_shown_to_nobody_and_not_taken_for_arguments(scene: Scene) -> None:
    @scene.app.task(name="secretive", hide=["card.number", "pin"])
    async def secretive(card: dict[str, str], pin: int, *, note: str = "") -> None: ...

    client = scene.client()
    body = {"task": "secretive", "args": [{"number": "4111", "name": "x"}, 1234], "kwargs": {"note": "kept"}}
    job = (await client.post("/v1/jobs", json=body)).json()["id"]
    for path in ("/jobs", f"/jobs/{job}", f"/jobs/{job}?whole=1", f"/new?like={job}", "/audit"):
        page = (await client.get(path)).text
        assert "4111" not in page, path
        assert "1234" not in page.replace(job, ""), path
    form = (await client.get(f"/new?like={job}")).text
    assert "***" not in form
    assert "kept" in form


async def test_history_is_searched_and_says_where_there_is_none(scene: Scene, tmp_path: Path) -> None:
    assert "the setting `records`" in (await scene.client().get("/history")).text
    url = f"sqlite:///{tmp_path}/records.db"
    (tmp_path / "other").mkdir()
    await RecordStore(url, namespace="shop").upgrade()
    app = shop(tmp_path / "other", records=url)

    @app.task(name="greet", search=["user"])
    async def greet(user: int) -> None: ...

    async with served(app) as own:
        client = own.client()
        told = await act(client, "/new", task="greet", **{"arg.user": "7"})
        path = told.json()["location"].replace("/jobs/", "/history/")
        async with asyncio.timeout(30):
            while path not in (await client.get("/history?argument=user=7&task=greet&within=1h")).text:  # noqa: ASYNC110 - over HTTP nothing tells of it
                await asyncio.sleep(0.1)
        assert path not in (await client.get("/history?argument=user=8")).text
        assert path not in (await client.get("/history?state=failed")).text
        assert "enqueued" in (await client.get(path)).text
        assert (await client.get("/history?argument=x")).status_code == 422
        assert (await client.get("/history/none")).status_code == 404


async def test_a_schedule_is_made_and_deleted(scene: Scene) -> None:
    client = scene.client()
    assert "arg.user" in (await client.get("/new-schedule", params={"task": "welcome"})).text
    given = {"task": "welcome", "arg.user": "7", "name": "hourly", "every": "1h"}
    told = await act(client, "/schedules", **given)
    assert told.json()["location"] == "/schedules", told.text
    [made] = [one for one in await scene.app.schedules.list() if one.made]
    assert (made.name, made.args or made.kwargs, made.next_fire is not None) == ("hourly", {"user": 7}, True)
    assert "made at run time" in (await client.get("/schedules")).text
    for wrong, said in (
        (given, "hourly"),  # it is there already
        ({**given, "name": "nightly"}, "stands in the code"),
        ({**given, "name": "other", "every": "soon"}, "soon"),
        ({**given, "name": "other", "every": "", "cron": "61 * * * *"}, "61"),
        ({**given, "name": "other", "arg.user": "x"}, "user"),
    ):
        refused = await act(client, "/schedules", **wrong)
        assert refused.status_code == 422, wrong
        assert said in refused.text
    assert (await act(client, "/schedules/nightly/delete")).status_code == 409
    assert (await act(client, "/schedules/hourly/delete")).status_code == 200
    assert [one.name for one in await scene.app.schedules.list()] == ["nightly"]


async def test_what_is_done_to_all_that_match_is_counted_first(scene: Scene) -> None:
    client = scene.client()
    for user in range(5):
        await act(client, "/new", task="welcome", **{"arg.user": str(user)})
    await act(client, "/new", task="report", **{"arg.title": "kept"})
    told = await act(client, "/acts", act="cancel", task="welcome")
    page = await finished(client, told.json()["location"])
    assert "Cancel 5 jobs" in page
    assert await states(scene) == {JobState.READY: 6}
    again = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)">', page))
    told = await client.post(
        "/acts", data={**again, "csrf": token_of(page)}, headers={"accept": "application/json"}
    )
    await finished(client, told.json()["location"])
    assert await states(scene) == {JobState.READY: 1, JobState.CANCELLED: 5}
    assert "counted only" in (await client.get("/acts")).text
    assert (await act(client, told.json()["location"] + "/cancel")).status_code == 409  # it is over


async def finished(client: httpx.AsyncClient, path: str) -> str:
    """Wait for the end of an act, and return its page."""
    async with asyncio.timeout(20):
        while True:
            page = (await client.get(path)).text
            if "<strong>done</strong>" in page:
                return page
            await asyncio.sleep(0.05)


async def states(scene: Scene) -> dict[JobState, int]:
    counted: dict[JobState, int] = {}
    for one in await scene.app.carrier.counts():
        for state, count in one.counts.items():
            if count:
                counted[state] = counted.get(state, 0) + count
    return counted


async def test_a_key_is_shown_once(scene: Scene) -> None:
    client = scene.client()
    made = await act(client, "/keys", name="ci", role="operate")
    [key] = re.findall(r"hw_[a-z0-9]+_[a-z0-9]+", made.text)
    inside = await signed_in(scene, Role.ADMIN)
    assert key not in (await inside.get("/keys")).text
    assert key not in (await inside.get("/audit")).text
    assert "keys.create" in (await inside.get("/audit")).text


async def test_routes_are_changed_and_rolled_back(tmp_path: Path) -> None:
    stores = {name: f"sqlite:///{tmp_path / name}.db" for name in ("east", "west")}
    app = Headway("shop", carriers=stores, access=f"sqlite:///{tmp_path}/access.db")

    @app.task(queue="email")
    async def send() -> None: ...

    async with served(app) as scene:
        client = scene.client()
        told = await act(
            client,
            "/routes/email/set",
            **{"weight.east": "70", "weight.west": "30"},
            shadow="west=5",
            reason="to try",
        )
        assert told.json()["said"] == "The route of email is east 70 %, west 30 %."
        assert "70 %" in (await client.get("/routes")).text
        assert "to try" in (await client.get("/routes")).text
        assert "5 % are copied to west" in (await client.get("/routes")).text
        assert "5 % of its jobs are copied to west" in (await client.get("/routes/email")).text
        assert (await act(client, "/routes/email/set", **{"weight.east": "70"})).status_code == 422
        refused = await act(client, "/routes/email/set", **{"weight.east": "100"}, shadow="west")
        assert (refused.status_code, "shadow of email: must be a carrier" in refused.text) == (422, True)
        assert (await client.get("/v1/routes")).json()["routes"] == [
            {
                "queue": "email",
                "weights": {"east": 70, "west": 30},
                "by": "",
                "declared": False,
                "shadow": {"to": "west", "percent": 5},
            }
        ]
        told = await act(
            client, "/routes/email/begin", to="west", steps="40 100", every="1m", max_error_rate="2%"
        )
        assert told.status_code == 200, told.text
        assert "running" in (await client.get("/routes/email")).text
        assert (await act(client, "/routes/email/act", act="abort")).status_code == 200


# --- odd names, hostile content, trouble ------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["a/b", "a b", "ü", "a%2Fb", "q?x=1#y", "a&b<c>"])
async def test_a_queue_of_any_name_is_reached(tmp_path: Path, queue: str) -> None:
    app = shop(tmp_path)

    try:

        @app.task(name="odd", queue=queue)
        async def odd() -> None: ...

    except HeadwayError:
        pytest.skip("no queue can be called so")
    async with served(app) as scene:
        client = scene.client()
        page = await client.get("/queues")
        paths = re.findall(r'action="(/queues/[^"]+/pause)"', page.text)
        for path in paths:
            assert (await act(client, path)).status_code == 200
        assert queue in await scene.app.carrier.paused()


async def test_what_comes_from_outside_is_text_on_every_page(scene: Scene) -> None:
    @scene.app.task(name="hostile", queue="hostile", tags=["x"])
    async def hostile(text: str) -> None:
        raise ValueError(text)

    handle = await hostile.options(key="<script>", headers={"x-tenant": "<script>"}).enqueue(HOSTILE)
    await scene.app.carrier.cancel([handle.id], HOSTILE)
    client = scene.client()
    for path in (
        *(path_of(page, handle.id) for page in PAGES),
        f"/jobs?search={HOSTILE}&queue={HOSTILE}&task={HOSTILE}",
        f"/new?task={HOSTILE}",
    ):
        page = await client.get(path)
        assert "<script>" not in page.text, path
        shown = re.sub(r'="[^"]*"', "", page.text)  # what nobody sees: values of fields, keys of rows
        assert "\u202e" not in shown, path


async def test_large_arguments_are_cut_and_given_on_request(tmp_path: Path) -> None:
    app = shop(tmp_path, payload_limit=2_000_000)

    @app.task(name="large", queue="large")
    async def large(text: str) -> None: ...

    async with served(app) as scene:
        handle = await large.enqueue("x" * 900_000)
        client = scene.client()
        page = await client.get(f"/jobs/{handle.id}")
        assert len(page.text) < 60_000
        assert "whole=1" in page.text
        assert len((await client.get("/jobs")).text) < 60_000
        assert len((await client.get(f"/jobs/{handle.id}?whole=1")).text) > 900_000


async def test_a_carrier_that_is_away_is_said_and_nothing_is_taken_for_done(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = scene.client()
    token = token_of((await client.get("/")).text)

    async def away(*_: Any, **__: Any) -> Any:
        msg = "redis://localhost: connection refused"
        raise BrokerUnavailableError(msg)

    for name in ("counts", "list", "pause"):
        monkeypatch.setattr(scene.app.carrier, name, away)
    page = await client.get("/jobs")
    assert page.status_code == 503
    assert "connection refused" in page.text
    assert "data-part" in page.text  # so that it looks again by itself
    told = await client.post(
        "/queues/email/pause", data={"csrf": token}, headers={"accept": "application/json"}
    )
    assert (told.status_code, "said" in told.json()) == (503, False)


async def test_a_page_that_fails_says_so_and_hides_what_it_was(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("password=hunter2")  # noqa: EM101 - what a library of somebody may raise

    monkeypatch.setattr(scene.app.carrier, "counts", broken)
    page = await scene.client().get("/queues")
    assert page.status_code == 500
    assert "hunter2" not in page.text
    assert "RuntimeError" in page.text
    assert "hunter2" in caplog.text


async def test_ten_thousand_queues_are_shown_by_pages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"q{n:05}" for n in range(10_000)}
    monkeypatch.setattr(type(scene.app), "queues", property(lambda _: names))
    client = scene.client()
    page = await client.get("/queues")
    assert page.text.count("<tr data-key") == 100
    assert len((await client.get("/")).text) < 100_000
    found = await client.get("/queues", params={"search": "q0999"})
    assert found.text.count("<tr data-key") == 10


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.text(max_size=40), query=st.text(max_size=40))
async def test_whatever_is_asked_for_nothing_breaks(scene: Scene, path: str, query: str) -> None:
    answer = await scene.client().get(
        f"/{quote(path)}", params={"state": query, "after": query, "from": query, "span": query}
    )
    assert answer.status_code in {200, 303, 400, 403, 404, 422}


@pytest.mark.parametrize(
    "query", ["after=x", "state=none", "from=-1", "tag=none", "&".join(f"a{n}=1" for n in range(300))]
)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
async def test_odd_queries_are_answered(scene: Scene, page: Any, query: str) -> None:
    answer = await scene.client().get(f"{path_of(page)}?{query}")
    assert answer.status_code in {200, 400, 404, 409, 422}  # 409: without records there is no history


def test_paths_are_found_by_their_parts() -> None:
    entry, parts = find(PAGES, "/jobs/a%2Fb") or (None, {})
    assert entry is not None
    assert parts == {"job": "a/b"}
    assert find(PAGES, "/jobs/a/b") is None
    assert find(PAGES, "/jobsx") is None


# --- forms of arguments -----------------------------------------------------------------------------------------------


def test_a_form_is_made_from_the_schema() -> None:
    async def task(a: int, b: str = "x", *, c: bool, d: list[int] | None = None) -> None: ...

    app = Headway("forms", url="sqlite:///unused.db")
    made = app.task(task)
    fields = fields_of(arguments_schema(made), {"a": 3})
    assert [(one.name, one.kind, one.needed, one.value) for one in fields] == [
        ("a", "number", True, "3"),
        ("b", "text", False, "x"),
        ("c", "switch", True, ""),
        ("d", "json", False, ""),
    ]
    form = {"arg.a": ("5",), "arg.b": ("",), "arg.c": ("true",), "arg.d": ("[1]",)}
    assert values_of(fields, form) == {"a": 5, "c": True, "d": [1]}


@given(
    st.dictionaries(st.sampled_from(["arg.a", "arg.b", "arg.c"]), st.lists(st.text(), max_size=2).map(tuple))
)
def test_whatever_is_filled_in_is_a_value_or_named(form: dict[str, tuple[str, ...]]) -> None:
    schema = {
        "properties": {"kwargs": {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {}}}}
    }
    said = ""
    values: dict[str, Any] = {}
    try:
        values = values_of(fields_of(schema, {}), form)
    except HeadwayError as error:
        said = str(error)
    assert said[:1] in {"", "a", "c"}
    assert set(values) <= {"a", "b", "c"}


def _all() -> Any:
    return JobQuery()
