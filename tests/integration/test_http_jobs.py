"""HTTP jobs against targets that answer well, badly, slowly or never."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway import Headway, JobState, Retry
from headway.errors import JobFailedError
from headway.http import HostLimit, HttpCall, HttpPolicy, HttpResult, call
from headway.testing import inline
from tests.integration.http_target import answer, certificate, delayed, dripping, serving, silent

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from headway.httpjobs.guard import Resolve
    from headway.testing import Inline
    from tests.integration.http_target import Seen

LOCAL: Final = ("127.0.0.1",)
TOKEN: Final = "t0k3n-of-the-crm"


class Bench:
    """An app with HTTP jobs, in a test."""

    def __init__(self, box: Inline, send: Any) -> None:
        self.box = box
        self.send = send

    async def ask(self, url: str, **given: Any) -> HttpResult:
        """Call, and return the result; JobFailedError."""
        handle = await self.put(url, **given)
        await self.box.run_until_idle(skip_delays=True, raise_errors=False)
        result: HttpResult = await handle.result()
        return result

    async def put(self, url: str, **given: Any) -> Any:
        return await self.send.enqueue(HttpCall(**{"method": "GET", "url": url, **given}))

    async def fails(self, url: str, **given: Any) -> str:
        """Call in vain; return the message of the last attempt."""
        with pytest.raises(JobFailedError) as raised:
            await self.ask(url, **given)
        return str(raised.value)


@asynccontextmanager
async def bench(
    policy: HttpPolicy | None = None, *, resolver: Resolve | None = None, retry: Retry | None = None
) -> AsyncIterator[Bench]:
    app = Headway("hooks", url="sqlite:///unused.db")
    rules = HttpPolicy(allow=LOCAL) if policy is None else policy
    send = call(app, policy=rules, retry=retry, resolver=resolver)
    async with inline(app) as box:
        yield Bench(box, send)


def names(table: Mapping[str, str]) -> Resolve:
    async def look_up(host: str, _: int) -> list[str]:
        return [table[host]]

    return look_up


async def test_a_request_and_its_answer() -> None:
    async with bench() as b, serving(answer(201, b'{"id": 7}', Content_Type="application/json")) as target:
        result = await b.ask(
            target.url("/orders?a=1"),
            method="POST",
            json={"amount": 5, "items": [1, 2]},
            headers={"X-Tenant": "7"},
        )
        assert (result.status, result.body, result.truncated, result.base64) == (
            201,
            '{"id": 7}',
            False,
            False,
        )
        assert result.headers["content-type"] == "application/json"
        assert result.url == target.url("/orders?a=1")
        [seen] = target.seen
        assert (seen.method, seen.path, seen.body) == ("POST", "/orders?a=1", b'{"amount":5,"items":[1,2]}')
        assert seen.headers["host"] == f"127.0.0.1:{target.port}"
        assert seen.headers["content-type"] == "application/json"
        assert (seen.headers["x-tenant"], seen.headers["user-agent"]) == ("7", "headway")
        assert seen.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("given", "body", "kind"),
    [
        ({"body": "grüezi"}, "grüezi".encode(), "text/plain; charset=utf-8"),
        ({"data": b"\x00\xff"}, b"\x00\xff", "application/octet-stream"),
        ({"json": [1]}, b"[1]", "application/json"),
        ({"body": "a=1", "headers": {"content-type": "application/x-www-form-urlencoded"}}, b"a=1",
         "application/x-www-form-urlencoded"),
        ({}, b"", None),
    ],
)  # fmt: skip
async def test_bodies(given: dict[str, Any], body: bytes, kind: str | None) -> None:
    async with bench() as b, serving() as target:
        await b.ask(target.url(), method="PUT", **given)
        [seen] = target.seen
        assert (seen.body, seen.headers.get("content-type")) == (body, kind)
        assert seen.headers["content-length"] == str(len(body))


async def test_bytes_that_are_no_text_are_kept_as_base64_and_a_cut_character_is_left_out() -> None:
    async with bench() as b, serving(answer(body=b"\xff\x00\x01"), answer(body="aé€".encode())) as target:
        result = await b.ask(target.url())
        assert (result.base64, base64.b64decode(result.body)) == (True, b"\xff\x00\x01")
        result = await b.ask(target.url(), keep=5)
        assert (result.base64, result.body, result.truncated) == (False, "aé", True)


async def test_all_attempts_have_one_idempotency_key_and_each_its_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    monkeypatch.setenv("HEADWAY_SECRET_HOOKS", f"whsec_{key}")
    monkeypatch.setenv("HEADWAY_SECRET_HOOKS_OLD", "an older one of 24 bytes")
    async with bench() as b, serving(answer(503), answer(500), answer(200)) as target:
        await b.ask(target.url(), method="POST", body="hello", sign=("secret://HOOKS", "secret://hooks.old"))
        assert len(target.seen) == 3
        for seen in target.seen:
            sent = seen.headers
            assert sent["webhook-id"] == sent["idempotency-key"] == target.seen[0].headers["webhook-id"]
            assert abs(int(sent["webhook-timestamp"]) - time.time()) < 60
            content = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.hello".encode()
            for secret, mine in zip(
                (b"k" * 32, b"an older one of 24 bytes"), sent["webhook-signature"].split(), strict=True
            ):
                digest = hmac.new(secret, content, hashlib.sha256).digest()
                assert mine == f"v1,{base64.b64encode(digest).decode()}"


async def test_statuses_to_try_again_and_final_ones() -> None:
    async with bench(retry=Retry(max_attempts=3)) as b:
        async with serving(answer(404, b"no such order")) as target:
            assert "answered 404: no such order" in await b.fails(target.url("/x?token=1"))
            assert len(target.seen) == 1
        async with serving(answer(404), answer(200)) as target:
            assert (await b.ask(target.url(), retry_statuses=(404,))).status == 200
        async with serving(answer(409)) as target:
            assert (await b.ask(target.url(), expect=(200, 409))).status == 409
        async with serving(answer(500)) as target:
            assert "answered 500" in await b.fails(target.url())
            assert len(target.seen) == 3
        async with serving(answer(500)) as target:
            assert "answered 500" in await b.fails(target.url(), attempts=2)
            assert len(target.seen) == 2
        assert "token" not in str([one.errors for one in await b.box.jobs()])


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured_and_uses_up_an_attempt(form: str) -> None:
    async with bench() as b:
        text = "120"
        if form == "date":
            text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 121))
        async with serving(answer(429, Retry_After=text), answer(200)) as target:
            handle = await b.put(target.url())
            await b.box.run_until_idle(raise_errors=False)
            record = await handle.record()
            assert record.state is JobState.SCHEDULED
            assert 110_000 < record.raw.due_ms - b.box.clock.now_ms() <= 122_000
            assert record.attempt == 1
            b.box.clock.advance(122_000)
            await b.box.run_until_idle()
            assert (await handle.record()).attempt == 2
        async with serving(answer(503, Retry_After="1")) as target:
            assert "answered 503" in await b.fails(target.url(), attempts=3)
            assert len(target.seen) == 3


async def test_a_target_cannot_ask_for_ever() -> None:
    async with (
        bench(HttpPolicy(allow=LOCAL, retry_after=60)) as b,
        serving(answer(503, Retry_After="9" * 400)) as target,
    ):
        handle = await b.put(target.url())
        await b.box.run_until_idle(raise_errors=False)
        record = await handle.record()
        assert record.raw.due_ms - b.box.clock.now_ms() <= 60_000


@pytest.mark.parametrize("how", ["silent", "dripping"])
async def test_a_target_that_does_not_come_to_an_end_times_out_and_is_tried_again(how: str) -> None:
    bad = silent if how == "silent" else dripping
    async with bench() as b, serving(bad, bad, answer(200)) as target:
        assert (await b.ask(target.url(), timeout=0.3)).status == 200
        assert len(target.seen) == 3


async def test_errors_are_not_tried_again_where_the_call_says_so() -> None:
    async with bench() as b, serving(silent) as target:
        assert "may have been received" in await b.fails(target.url(), timeout=0.2, retry_errors=False)
        assert len(target.seen) == 1
    async with bench(retry=Retry(max_attempts=2)) as b, serving() as target:
        port = target.port
        target.port = 1
        assert "ConnectError" in await b.fails(target.url())
        target.port = port


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100_000 + b"\r\n",
    ],
)
async def test_what_is_no_answer_is_an_error_that_is_tried_again(garbage: bytes) -> None:
    async with bench() as b, serving(garbage, answer(200)) as target:
        assert (await b.ask(target.url(), timeout=20)).status == 200
        assert len(target.seen) == 2


async def test_a_gigabyte_is_cut_at_the_limit_without_the_memory() -> None:
    async with bench() as b, serving() as target:
        target.answers[:] = [target.endless]
        result = await b.ask(target.url(), keep=1000)
        assert (len(result.body), result.truncated) == (1000, True)
        assert target.sent < 32 * 1024 * 1024  # what the buffers of two sockets hold


async def test_what_is_compressed_is_not_expanded() -> None:
    async with (
        bench() as b,
        serving(answer(body=b"\x1f\x8b" + b"\x00" * 50, Content_Encoding="gzip")) as target,
    ):
        result = await b.ask(target.url())
        assert (result.base64, len(base64.b64decode(result.body))) == (True, 52)


# --- redirects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"x"), (308, "POST", b"x")],
)
async def test_redirects_are_followed_as_browsers_do(status: int, method: str, body: bytes) -> None:
    async with bench() as b, serving(answer(status, Location="/b?c=1"), answer(200)) as target:
        result = await b.ask(target.url("/a"), method="POST", body="x")
        assert (result.redirects, result.url) == (1, target.url("/b?c=1"))
        seen = target.seen[1]
        assert (seen.method, seen.path, seen.body) == (method, "/b?c=1", body)
        assert ("content-type" in seen.headers) is bool(body)


async def test_a_redirect_is_an_answer_where_none_may_be_followed() -> None:
    async with bench() as b, serving(answer(302, Location="/b")) as target:
        assert "answered 302" in await b.fails(target.url(), redirects=0)
        assert (await b.ask(target.url(), redirects=0, expect=(302,))).headers["location"] == "/b"


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.2]:{port}/",
        "http://[64:ff9b::7f00:2]:{port}/",
        "http://localhost:{port}/",
        "//127.0.0.2:{port}/",
        "http://user@127.0.0.1:{port}/",
        "http://2130706434:{port}/",
        "http://0x7f.2:{port}/",
        "\\\\127.0.0.2:{port}\\",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}:80/",
        "http://",
        "http://%00/",
    ],
)
async def test_no_redirect_leads_where_a_call_may_not_go(location: str) -> None:
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(bench(resolver=names({"localhost": "127.0.0.3"})))
        target = await stack.enter_async_context(serving())
        inner = await stack.enter_async_context(serving(host="127.0.0.2", port=target.port))
        third = await stack.enter_async_context(serving(host="127.0.0.3", port=target.port))
        # A chain of three, the last of which leads away.
        target.answers[:] = [
            answer(302, Location="/2"),
            answer(307, Location=target.url("/3")),
            answer(301, Location=location.format(port=target.port)),
            answer(200),
        ]
        said = await b.fails(target.url("/1"))
        assert "HttpRefusedError" in said
        assert len(target.seen) == 3
        assert (inner.seen, third.seen) == ([], [])


async def test_redirects_end() -> None:
    async with bench() as b, serving(answer(302, Location="/")) as target:
        assert "more than 3 redirects" in await b.fails(target.url(), redirects=3)
        assert len(target.seen) == 4


# --- secrets ----------------------------------------------------------------------------------------------------


def echo(seen: Seen) -> bytes:
    return json.dumps(seen.headers).encode()


async def _echo(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(
        answer(200 if "ok" in seen.path else 404, echo(seen), X_Echo=seen.headers.get("authorization", ""))
    )
    await writer.drain()


async def test_secrets_are_sent_and_neither_stored_nor_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEADWAY_SECRET_CRM", TOKEN)
    async with bench() as b, serving(_echo) as target:
        headers = {"Authorization": "Bearer secret://CRM", "X-Key": "a secret://CRM b"}
        result = await b.ask(target.url("/ok"), headers=headers)
        assert target.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert target.seen[0].headers["x-key"] == f"a {TOKEN} b"
        assert '"authorization": "Bearer ***"' in result.body
        assert result.headers["x-echo"] == "Bearer ***"
        said = await b.fails(target.url("/bad"), headers=headers)
        assert "404" in said
        jobs = await b.box.jobs()
        stored = str([(one.args, one.kwargs, one.errors) for one in jobs]) + str(
            [one.raw for one in (await b.box.app.jobs.list()).jobs]
        )
        assert "secret://CRM" in stored
        assert TOKEN not in stored + said + caplog.text


async def test_secrets_come_from_a_folder_too(tmp_path: Path) -> None:
    (tmp_path / "CRM").write_text(f"{TOKEN}\n")
    policy = HttpPolicy(allow=LOCAL, secrets_folder=str(tmp_path), secret_hosts={"CRM": ("127.0.0.1",)})
    async with bench(policy) as b, serving() as target:
        await b.ask(target.url(), headers={"Authorization": "Bearer secret://CRM"})
        assert target.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
        said = await b.fails(target.url(), headers={"X": "secret://nosuch"})
        assert "secret 'nosuch' is not known" in said
        assert len(target.seen) == 1


async def test_a_secret_goes_to_its_hosts_alone_and_not_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_SECRET_CRM", TOKEN)
    headers = {"Authorization": "secret://CRM"}
    policy = HttpPolicy(allow=LOCAL, secret_hosts={"CRM": ("*.crm.example",)})
    async with bench(policy) as b, serving() as target:
        assert "may not be sent to host '127.0.0.1'" in await b.fails(target.url(), headers=headers)
        assert target.seen == []
    async with bench(resolver=names({"crm.example": "93.184.216.34"})) as b:
        assert "without TLS" in await b.fails("http://crm.example/", headers=headers)


async def test_a_redirect_to_another_origin_takes_no_secrets_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_SECRET_CRM", TOKEN)
    async with bench() as b, serving() as other, serving(answer(307, Location=other.url("/to"))) as target:
        headers = {"Authorization": "Bearer secret://CRM", "X-Key": "secret://CRM", "X-Plain": "1"}
        await b.ask(target.url(), headers=headers)
        assert TOKEN in target.seen[0].headers["authorization"]
        assert {"authorization", "x-key"} & other.seen[0].headers.keys() == set()
        assert other.seen[0].headers["x-plain"] == "1"
        assert TOKEN not in str(other.seen)


# --- TLS, proxies, limits ---------------------------------------------------------------------------------------


async def test_the_certificate_is_that_of_the_name_at_the_checked_address(tmp_path: Path) -> None:
    file, context = certificate(tmp_path, "hooks.example")
    policy = HttpPolicy(allow=LOCAL, ca_file=str(file))
    table = {"hooks.example": "127.0.0.1", "other.example": "127.0.0.1"}
    async with bench(policy, resolver=names(table), retry=Retry.never()) as b, serving(tls=context) as target:
        result = await b.ask(target.url("/a", host="hooks.example", scheme="https"))
        assert result.status == 200
        assert target.seen[0].headers["host"] == f"hooks.example:{target.port}"
        said = await b.fails(target.url(host="other.example", scheme="https"))
        assert "certificate" in said.lower()
        assert len(target.seen) == 1
    async with (
        bench(HttpPolicy(allow=LOCAL), resolver=names(table), retry=Retry.never()) as b,
        serving(tls=context) as target,
    ):
        assert "certificate" in (await b.fails(target.url(host="hooks.example", scheme="https"))).lower()
        assert target.seen == []


async def test_a_proxy_is_used_only_where_the_policy_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as target, serving(answer(200, b"by proxy")) as proxy:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url())
        async with bench() as b:
            assert (await b.ask(target.url())).body == "ok"
            assert proxy.seen == []
        async with bench(HttpPolicy(allow=LOCAL, proxy=proxy.url("")), retry=Retry.never()) as b:
            assert (await b.ask(target.url("/x"))).body == "by proxy"
            assert proxy.seen[0].path == target.url("/x")
            assert "may not be reached" in await b.fails("http://10.0.0.1/")
            assert len(proxy.seen) == 1


async def test_a_host_has_no_more_calls_at_once_than_its_limit() -> None:
    policy = HttpPolicy(allow=LOCAL, limits={"127.0.0.1": HostLimit(concurrency=2)})
    async with bench(policy) as b, serving(delayed(0.05, answer(200))) as target:
        handles = [await b.put(target.url()) for _ in range(8)]
        await b.box.run_until_idle(skip_delays=True)
        assert [(await one.result()).status for one in handles] == [200] * 8
        assert target.most_open <= 2
        assert {(await one.record()).attempt for one in handles} == {1}


async def test_a_host_has_no_more_calls_in_a_time_than_its_rate() -> None:
    policy = HttpPolicy(allow=LOCAL, limit=HostLimit(rate="2/10m"))
    async with bench(policy) as b, serving() as target:
        handles = [await b.put(target.url()) for _ in range(3)]
        await b.box.run_until_idle()
        assert len(target.seen) == 2
        [waiting] = [one for one in handles if not (await one.status()).terminal]
        record = await waiting.record()
        assert record.state is JobState.SCHEDULED
        assert record.raw.due_ms - b.box.clock.now_ms() > 200_000
        b.box.clock.advance(600_000)
        await b.box.run_until_idle()
        assert len(target.seen) == 3


async def test_the_rate_is_that_of_all_processes_where_the_app_has_a_cache(tmp_path: Path) -> None:
    app = Headway("hooks", url=f"sqlite:///{tmp_path / 'unused.db'}", cache="memory://")
    send = call(app, policy=HttpPolicy(allow=LOCAL, limit=HostLimit(rate="1/10m")))
    async with inline(app) as box, serving() as target:
        await app.limiter.limit("http:127.0.0.1", "1/10m")  # by another process
        handle = await send.enqueue(HttpCall(method="GET", url=target.url()))
        await box.run_until_idle()
        assert target.seen == []
        assert await handle.status() is JobState.SCHEDULED


async def test_a_name_is_resolved_by_the_machine() -> None:
    async with bench(HttpPolicy(), retry=Retry.never()) as b, serving() as target:
        assert "loopback" in await b.fails(target.url(host="localhost"))
        assert "cannot be resolved" in await b.fails("http://nosuch.invalid/")
        assert target.seen == []
    async with bench(HttpPolicy(allow=("localhost",))) as b, serving() as target:
        assert (await b.ask(target.url(host="localhost"))).status == 200
        assert target.seen[0].headers["host"] == f"localhost:{target.port}"


async def test_they_are_scheduled_like_any_job() -> None:
    async with bench() as b, serving() as target:
        made = b.send.job(HttpCall(method="GET", url=target.url("/ping")))
        await b.box.app.schedules.create("ping", made, every="5m")
        b.box.clock.advance(300_000)
        assert await b.box.fire_schedules() == 1
        await b.box.run_until_idle()
        assert [seen.path for seen in target.seen] == ["/ping"]


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.skipif(
    not os.environ.get("HEADWAY_LONG_HTTP"), reason="takes 95 s: set HEADWAY_LONG_HTTP=1 to wait for it"
)
async def test_a_call_of_95_seconds_completes() -> None:
    async with bench() as b, serving(delayed(95, answer(200, b"at last"))) as target:
        handle = await b.put(target.url(), timeout=120)
        await b.box.run_until_idle(timeout=140)
        assert (await handle.result()).body == "at last"


async def test_a_long_call_completes_within_its_own_limit() -> None:
    """The short sibling of the one of 95 s: what bounds a call is its own limit, not a default of the client's."""
    async with bench() as b, serving(delayed(6, answer(200, b"at last"))) as target:
        handle = await b.put(target.url())
        await b.box.run_until_idle()
        assert (await handle.result()).body == "at last"
        assert b.send.options_declared.timeout_ms >= 3_600_000
