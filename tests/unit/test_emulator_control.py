"""What tests ask of an emulator: queues from the start, is it empty, what was answered, begin anew."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from headway.emulator.http import HttpServer
from headway.emulator.standalone import running
from headway.emulator.wanted import parse_queue
from headway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from headway.emulator.server import Emulator

LOCATION = "projects/shop/locations/europe-west6"
MAIL = f"{LOCATION}/queues/mail"


def client_of(emulator: Emulator) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=emulator.http_address, trust_env=False, timeout=40)


class Handler:
    """A target that answers when it is let."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.status = 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await self.go_on.wait()
        body = b"no such user" if self.status != 200 else b"x" * 10_000
        headers = [(b"content-length", str(len(body)).encode()), (b"x-own", b"1")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def test_queues_are_there_from_the_start(tmp_path: Path) -> None:
    wanted = ["shop/europe-west6/mail=5,concurrent=10,attempts=3", f"{LOCATION}/queues/reports"]
    for _ in range(2):  # the second time they are in the state file
        async with (
            running(queues=wanted, state=tmp_path / "state.db") as emulator,
            client_of(emulator) as client,
        ):
            queues = (await client.get(f"/v2/{LOCATION}/queues")).json()["queues"]
            assert [queue["name"].rpartition("/")[2] for queue in queues] == ["mail", "reports"]
            limits = queues[0]["rateLimits"]
            assert (limits["maxDispatchesPerSecond"], limits["maxConcurrentDispatches"]) == (5, 10)
            assert queues[0]["retryConfig"]["maxAttempts"] == 3
            assert queues[1]["rateLimits"]["maxDispatchesPerSecond"] == 500


@pytest.mark.parametrize(
    "text",
    [
        "mail",
        "",
        "a/b/c=x",
        "a/b/c=rate=x",
        "a/b/c=speed=5",
        "a/b/c=concurrent=1.5",
        "projects/a/queues/b",
        "a/b",
    ],
)
def test_a_queue_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="PROJECT/LOCATION/NAME"):
        parse_queue(text)


@pytest.mark.parametrize("text", ["a/b/c=501", "a/b/c=-1", "a/b/c=nan", "a/b/c=attempts=-2", "a/b/c d"])
async def test_a_queue_that_the_service_would_refuse_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="queue projects/a/locations/b/queues/c"):
        async with running(queues=[text]):
            pass


async def test_empty_is_waited_for_and_answers_are_visible(caplog: pytest.LogCaptureFixture) -> None:
    handler = Handler()
    target = HttpServer(handler, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{await target.start()}/run"
    async with (
        running(queues=["shop/europe-west6/mail=attempts=1"]) as emulator,
        client_of(emulator) as client,
    ):
        assert (await client.get("/-/empty", params={"seconds": 0})).json() == {"empty": True, "tasks": 0}
        task = {"name": f"{MAIL}/tasks/one", "httpRequest": {"url": url}}
        assert (await client.post(f"/v2/{MAIL}/tasks", json={"task": task})).status_code == 200
        full = await client.get("/-/empty", params={"seconds": 0.01, "queue": MAIL})
        assert (full.status_code, full.json()) == (504, {"empty": False, "tasks": 1})
        assert (
            await client.get("/-/empty", params={"seconds": 0, "queue": f"{LOCATION}/queues/x"})
        ).status_code == 200
        handler.status = 404
        with caplog.at_level(logging.INFO):
            waiting = asyncio.create_task(client.get("/-/empty", params={"seconds": 30}))
            handler.go_on.set()
            assert (await waiting).json() == {"empty": True, "tasks": 0}
        [attempt] = (await client.get("/-/attempts", params={"name": MAIL})).json()["attempts"]
        assert (attempt["status"], attempt["body"], attempt["attempt"]) == (404, "no such user", 1)
        assert (attempt["url"], attempt["headers"]["x-own"], attempt["error"]) == (url, "1", "")
        assert "404 after" in caplog.text
        assert "no such user" in caplog.text
        assert (await client.get("/-/attempts", params={"name": "other"})).json() == {"attempts": []}

        handler.status = 200
        task["name"] = f"{MAIL}/tasks/two"
        assert (await client.post(f"/v2/{MAIL}/tasks", json={"task": task})).status_code == 200
        assert await emulator.until_empty(30) == 0
        assert [len(one["body"]) for one in emulator.attempts.shown()] == [12, 4096]
    await target.stop()


@pytest.mark.parametrize("seconds", ["x", "-1", "nan", "1e9"])
async def test_a_time_to_wait_that_is_none_is_refused(seconds: str) -> None:
    async with running() as emulator, client_of(emulator) as client:
        assert (await client.get("/-/empty", params={"seconds": seconds})).status_code == 400


async def test_reset_begins_anew() -> None:
    async with running(queues=["shop/europe-west6/mail=7"]) as emulator, client_of(emulator) as client:
        other = f"{LOCATION}/queues/other"
        job = {
            "name": f"{LOCATION}/jobs/j",
            "schedule": "0 0 1 1 *",
            "httpTarget": {"uri": "http://127.0.0.1:9/"},
        }
        task = {"task": {"name": f"{MAIL}/tasks/one", "httpRequest": {"url": "http://127.0.0.1:9/"}}}
        for _ in range(2):  # names are free again
            assert (await client.post(f"/v2/{LOCATION}/queues", json={"name": other})).status_code == 200
            assert (await client.post(f"/v2/{MAIL}:pause")).status_code == 200
            assert (await client.post(f"/v2/{MAIL}/tasks", json=task)).status_code == 200
            assert (await client.post(f"/v1/{LOCATION}/jobs", json=job)).status_code == 200
            assert (await client.post("/-/reset")).status_code == 200
            queues = (await client.get(f"/v2/{LOCATION}/queues")).json()["queues"]
            assert [
                (queue["name"], queue["state"], queue["rateLimits"]["maxDispatchesPerSecond"])
                for queue in queues
            ] == [(MAIL, "RUNNING", 7)]
            assert (await client.get(f"/v2/{MAIL}/tasks")).json() == {}
            assert (await client.get(f"/v1/{LOCATION}/jobs")).json() == {}
        assert (await client.post("/-/reset", headers={"origin": "https://evil.example"})).status_code == 403
        assert (await client.get("/-/reset")).status_code == 405
