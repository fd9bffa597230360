"""Who may use the HTTP port of the emulator, and which targets are given tokens and signatures."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from headway.emulator.credentials import Credentials
from headway.emulator.gate import Gate
from headway.emulator.headers import CLOUD_SCHEDULER, keepable
from headway.emulator.server import Emulator
from headway.emulator.standalone import running
from headway.emulator.targets import Targets, is_loopback
from headway.errors import ConfigError
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCATION = "projects/p/locations/l"
QUEUE = f"{LOCATION}/queues/q"
JOBS = f"{LOCATION}/jobs"
JSON = {"content-type": "application/json"}
PAGES: list[dict[str, str]] = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"host": "rebind.evil.example"},
    {"host": "rebind.evil.example:8124"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "localhost@evil.example"},
    {"host": ""},
]
ROUTES = [
    ("GET", f"/v2/{LOCATION}/queues"),
    ("POST", f"/v2/{LOCATION}/queues"),
    ("POST", f"/v2/{QUEUE}:purge"),
    ("POST", f"/v2/{QUEUE}/tasks/x:buffer"),
    ("DELETE", f"/v2/{QUEUE}"),
    ("PATCH", f"/v2/{QUEUE}"),
    ("GET", f"/v1/{JOBS}"),
    ("POST", f"/v1/{JOBS}"),
    ("POST", f"/v1/{JOBS}/x:run"),
    ("GET", "/oauth2/v3/certs"),
    ("GET", "/.well-known/openid-configuration"),
    ("OPTIONS", f"/v2/{QUEUE}/tasks"),
    ("GET", "/elsewhere"),
]


def client_of(emulator: Emulator) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=emulator.http_address, trust_env=False)


async def test_no_web_page_reaches_any_route() -> None:
    async with running() as emulator, client_of(emulator) as client:
        for method, path in ROUTES:
            for headers in PAGES:
                answer = await client.request(method, path, headers={**JSON, **headers}, content=b"{}")
                assert answer.status_code == 403, (method, path, headers)
                assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
        assert not list(emulator.store.queues())


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_a_body_that_a_page_could_send_unasked_is_refused(content_type: str) -> None:
    async with running() as emulator, client_of(emulator) as client:
        headers = {"content-type": content_type} if content_type else {}
        for path in (f"/v2/{LOCATION}/queues", f"/v1/{JOBS}", f"/v2/{QUEUE}/tasks"):
            answer = await client.post(path, headers=headers, content=b'{"name": "%b"}' % QUEUE.encode())
            assert answer.status_code == 400, path
            assert "Content-Type" in answer.json()["error"]["message"]
        assert not list(emulator.store.queues())


async def test_programs_are_let_in() -> None:
    async with running() as emulator, client_of(emulator) as client:
        port = emulator.http_address.rpartition(":")[2]
        for headers in (
            {},
            {"host": f"localhost:{port}"},
            {"host": "LOCALHOST"},
            {"host": "127.0.0.2"},
            {"host": f"[::1]:{port}"},
            {"sec-fetch-mode": "cors"},  # as fetch of Node sends it
            {"sec-fetch-site": "none"},  # typed into a browser
            {"origin": emulator.http_address},
        ):
            answer = await client.get(f"/v2/{LOCATION}/queues", headers=headers)
            assert answer.status_code == 200, headers


async def test_a_declared_name_is_let_in() -> None:
    async with running(hosts=["emulator"]) as emulator, client_of(emulator) as client:
        path = f"/v2/{LOCATION}/queues"
        assert (await client.get(path, headers={"host": "Emulator:8124"})).status_code == 200
        assert (await client.get(path, headers={"host": "emulator.evil.example"})).status_code == 403


async def test_two_hosts_are_none_and_refusals_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def app(*_: Any) -> None:
        pytest.fail("it was passed on")

    gate = Gate(app)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"localhost"), (b"host", b"x")],
    }
    await gate(scope, receive, send)
    assert sent[0]["status"] == 403
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            await gate({**scope, "headers": [(b"host", b"x%d" % number)]}, receive, send)
    assert len(caplog.records) <= 100


async def test_the_grpc_port_speaks_no_http_of_browsers() -> None:
    async with running() as emulator:
        host, _, port = emulator.grpc_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"name": "%b"}' % QUEUE.encode()
        writer.write(
            b"POST /google.cloud.tasks.v2.CloudTasks/CreateQueue HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        async with asyncio.timeout(20):
            answer = await reader.read()  # to its end: it hangs up
        writer.close()
        assert not answer.startswith(b"HTTP/1")
        assert not list(emulator.store.queues())


# --- tokens and signatures


@pytest.mark.parametrize(
    ("declared", "url", "held"),
    [
        ([], "http://127.0.0.1:8080/jobs", True),
        ([], "http://localhost/", True),
        ([], "http://[::1]:1/", True),
        ([], "https://evil.example/", False),
        ([], "http://127.0.0.1@evil.example/", False),
        ([], "http://127.0.0.1.evil.example/", False),
        ([], "http://2130706433/", False),
        ([], "http://0.0.0.0/", False),
        (["http://receiver:8080"], "http://receiver:8080/any", True),
        (["http://receiver:8080"], "http://127.0.0.1:8080/any", False),
        (["http://receiver:8080"], "https://receiver:8080/any", False),
        (["http://receiver:8080"], "http://receiver:8081/any", False),
        (["https://shop.example/jobs/"], "https://shop.example:443/jobs/?a=b", True),
        (["https://shop.example/jobs"], "https://shop.example/jobs", True),
        (["https://shop.example/jobs"], "https://shop.example/jobs-of-others", False),
        (["https://shop.example/jobs"], "https://shop.example/jobs/%2e%2e/admin", False),
        (["https://a.example", "https://b.example"], "https://b.example", True),
        ([], "http://[", False),
        ([], "", False),
    ],
)  # fmt: skip
def test_only_declared_targets_are_given_tokens_and_signatures(
    declared: list[str], url: str, *, held: bool
) -> None:
    assert Targets(declared).hold(url) is held


@pytest.mark.parametrize("url", ["receiver", "ftp://x/", "http://", "http://x:port"])
def test_a_target_that_is_no_url_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="target"):
        Targets([url])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


async def test_a_task_to_another_url_goes_without_them_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[Mapping[str, str]] = []

    class Signer:
        def sign(self, audience: str, email: str) -> str:
            return f"{audience} {email}"

        def access_token(self, email: str, scope: str) -> str:
            return f"{email} {scope}"

    async def deliver(call: Any) -> None:
        sent.append(call.headers)

    credentials = Credentials(Signer(), b"secret")
    async with Emulator(
        clock=FakeClock(), deliver=deliver, credentials=credentials, automatic=False
    ) as emulator:
        async with client_of(emulator) as client:
            await client.post(f"/v2/{LOCATION}/queues", json={"name": QUEUE})
            for url in ("https://evil.example/a", "https://evil.example/b", "http://127.0.0.1:8080/"):
                request = {"url": url, "oidcToken": {"serviceAccountEmail": "a@b"}}
                answer = await client.post(f"/v2/{QUEUE}/tasks", json={"task": {"httpRequest": request}})
                assert answer.status_code == 200
        with caplog.at_level(logging.WARNING):
            await emulator.dispatcher.turn()
    proofs = [{"Authorization", "X-Headway-Signature"} & set(headers) for headers in sent]
    assert proofs == [set(), set(), {"Authorization", "X-Headway-Signature"}]
    warnings = [record.getMessage() for record in caplog.records if "--target" in record.getMessage()]
    assert len(warnings) == 1
    assert "https://evil.example is no declared target" in warnings[0]


def test_headers_of_a_task_do_not_stand_for_those_of_the_service_or_end_its_request() -> None:
    smuggled = {
        "Transfer-Encoding": "chunked", "Connection": "x-headway-signature", "X_CloudTasks_QueueName": "other", "TE": "trailers",
        "x-cloudtasks-taskname": "other", "hOsT": "other", "Content_Length": "3", "Upgrade": "h2c", "Expect": "100-continue",
    }  # fmt: skip
    assert keepable({**smuggled, "X-Own": "1"}) == {"X-Own": "1"}
    assert keepable({"X-CloudScheduler": "true", "X-Own": "1"}, CLOUD_SCHEDULER) == {"X-Own": "1"}


def test_a_signature_among_the_headers_of_a_task_is_replaced_in_whatever_case() -> None:
    given = {"x-headway-signature": "t=1,v1=00", "authorization": "Bearer mine"}
    headers = Credentials(secret=b"secret").added(given, "http://127.0.0.1/", b"", None, now_ms=0)
    assert [name for name in headers if name.lower() == "x-headway-signature"] == ["X-Headway-Signature"]
    assert headers["authorization"] == "Bearer mine"
