"""Whatever is sent, the receiver never answers 500, never raises, and never says why it refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway import Headway
from headway.brokers.base import BrokerSettings, JobQuery
from headway.brokers.cloudtasks.auth.hmac import sign_until
from headway.brokers.cloudtasks.broker import CloudTasksBroker
from headway.brokers.cloudtasks.message import CONTENT_TYPE, encode
from headway.brokers.cloudtasks.receive import FIRE_TYPE
from headway.codec import Codec
from headway.config import Settings
from headway.guards.document import PushedJob
from headway.job import JobState, NewJob, new_job_id
from headway.push import receiver
from headway.push.intake import MAX_BODY, Intake
from headway.testing import FakeClock
from tests.unit.push_scene import Answer, Call

if TYPE_CHECKING:
    from pathlib import Path

    from headway.push import Receiver

SECRET = "of sender and receiver"
FOREVER = 253_402_300_799


def broker(folder: Path, name: str = "hostile") -> CloudTasksBroker:
    push = Settings(guard=f"sqlite:///{folder}/guard.db", target="https://x.example/", push_secret=SECRET)
    # Nobody listens there: a receiver needs Cloud Tasks only where a job goes on.
    return CloudTasksBroker(
        "cloudtasks://project/europe-west1?emulator=127.0.0.1:1", BrokerSettings(name, options=push)
    )


def app_on(carrier: CloudTasksBroker) -> Headway:
    app = Headway("hostile", carrier=carrier)

    @app.task(name="add")
    async def add(n: int) -> int:
        return n + 1

    return app


async def send(
    pushed: Receiver, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> Answer:
    call = Call(pushed, body, method=method, path=path, headers=headers).start()
    return await call.answer()


def signed(body: bytes) -> tuple[bytes, bytes]:
    return (b"x-headway-signature", sign_until(SECRET.encode(), body, FOREVER).encode())


def message(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "id": new_job_id(),
        "task": "add",
        "queue": "default",
        "payload": Codec().encode_call("add", [1], {}),
        **changes,
    }
    return encode("hostile", PushedJob(NewJob(**fields), 0))


NAMES = st.sampled_from(
    [
        b"content-type",
        b"authorization",
        b"x-headway-signature",
        b"x-headway-job",
        b"x-headway-queue",
        b"x-cloudtasks-taskname",
        b"x-cloudtasks-tasketa",
        b"x-cloudtasks-queuename",
        b"x-cloudscheduler-scheduletime",
        b"traceparent",
    ]
) | st.binary(min_size=1, max_size=20)
VALUES = st.binary(max_size=60) | st.sampled_from(
    [
        CONTENT_TYPE.encode(),
        FIRE_TYPE.encode(),
        b"nan",
        b"inf",
        b"-1e400",
        b"9999-12-31T23:59:59Z",
        b"%ff%00",
        b"Bearer a.b.c",
    ]
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6).flatmap(
    # Each may come twice, and in other letters.
    lambda pairs: st.lists(
        st.sampled_from([*pairs, *((n.upper(), v) for n, v in pairs)] or [(b"x", b"")]), max_size=9
    )
)
METHODS = st.sampled_from(["POST", "GET", "PUT", "HEAD", "OPTIONS", "post", "CONNECT"]) | st.text(max_size=8)
PATHS = st.text(max_size=20) | st.sampled_from(
    [
        "",
        "/ready",
        "/jobs/ready",
        "/jobs/%2Fready",
        "//ready/",
        "/../ready",
        "/jobs/\x00",
        "*",
        "http://x/ready",
    ]
)
# How a body comes: in parts, some of them empty, and to an end or to none.
ENDS = st.sampled_from(["end", "leaves", "nothing", "odd"])
# Damaged messages rather than noise: they get furthest.
DAMAGED = st.builds(
    lambda body, at, byte, cut: (body[: at % len(body)] + bytes([byte]) + body[at % len(body) + 1 :])[
        : cut or None
    ],
    st.builds(message),
    st.integers(0, 200),
    st.integers(0, 255),
    st.integers(0, 200),
)
BODIES = (
    st.binary(max_size=200)
    | DAMAGED
    | st.sampled_from([b"", b"\x90", b'{"namespace":"hostile","schedule":"x"}'])
)
USUAL = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@USUAL
@given(method=METHODS, path=PATHS, headers=HEADERS, body=BODIES)
def test_whatever_strangers_send_is_refused_without_detail(
    tmp_path: Path, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    async def go() -> Answer:
        async with receiver(app_on(broker(tmp_path)), handle_sigterm=False) as pushed:
            return await send(pushed, method, path, headers, body)

    answer = asyncio.run(go())
    if method == "POST":
        assert answer.status in {401, 403}
    else:
        assert answer.status == 405 or (answer.status == 200 and path.endswith("/ready"))
    assert answer.body == b""


@USUAL
@given(headers=HEADERS, body=BODIES)
def test_whatever_comes_signed_is_answered_and_kept_once(
    tmp_path: Path, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    kept = [(name, value) for name, value in headers if name.lower() != b"x-headway-signature"]

    async def go() -> list[Answer]:
        async with receiver(app_on(broker(tmp_path)), handle_sigterm=False) as pushed:
            return [await send(pushed, "POST", "/", [*kept, signed(body)], body) for _ in range(2)]

    for answer in asyncio.run(go()):
        # 404: it may name another app; 503: what follows cannot be created, Cloud Tasks is away here.
        assert answer.status in {200, 404, 409, 503}


LIES = st.sampled_from([b"0", b"-1", b"99999999999999999999", b"1048576", b"x", b"3, 5"])


@USUAL
@given(
    headers=HEADERS,
    length=LIES,
    whole=BODIES,
    parts=st.lists(st.integers(0, 300), max_size=5),
    end=ENDS,
)
def test_however_a_body_comes_it_is_answered(
    tmp_path: Path,
    headers: list[tuple[bytes, bytes]],
    length: bytes,
    whole: bytes,
    parts: list[int],
    end: str,
) -> None:
    """Content-Length lies, chunks are empty or never end, the sender goes away: an answer, and nothing is held."""

    async def go() -> Answer:
        async with receiver(app_on(broker(tmp_path)), handle_sigterm=False) as pushed:
            pushed._intake = Intake(4, seconds=0.01)
            sent = [(name, value) for name, value in headers if name.lower() != b"x-headway-signature"]
            call = Call(pushed, headers=[*sent, (b"content-length", length), signed(whole)])
            at = 0
            for size in parts:
                call.say({"type": "http.request", "body": whole[at : at + size], "more_body": True})
                at += size
            match end:
                case "end":
                    call.say({"type": "http.request", "body": whole[at:]})
                case "leaves":
                    call.say({"type": "http.disconnect"})
                case "odd":
                    call.say({"type": "websocket.receive"})
                case _:
                    pass
            answer = await call.start(whole=False).answer()
            assert pushed._intake.held == 0
            return answer

    answer = asyncio.run(go())
    assert answer.status in ({200, 404, 409, 503} if end == "end" else {408})


async def test_whom_nobody_knows_learns_nothing_of_the_queues(tmp_path: Path) -> None:
    async with receiver(app_on(broker(tmp_path)), queues=["mail"], handle_sigterm=False) as pushed:
        answers = [
            await send(pushed, "POST", "/", [(b"x-headway-queue", queue)], b"x")
            for queue in (b"mail", b"other")
        ]
        assert [(answer.status, answer.body) for answer in answers] == [(401, b"")] * 2
        assert answers[0].headers == answers[1].headers
        # What the headers say of the queue is not what counts: anybody can write them.
        for queue, status in (("other", 404), ("mail", 200)):
            body = message(queue=queue)
            answer = await send(pushed, "POST", "/", [(b"x-headway-queue", b"mail"), signed(body)], body)
            assert answer.status == status
            assert answer.headers.get("retry-after") == ("60" if status == 404 else None)


async def test_a_stranger_is_refused_while_the_guard_is_away(tmp_path: Path) -> None:
    """It costs the guard nothing, and says nothing of it."""
    push = Settings(guard="redis://127.0.0.1:1/0", target="https://x.example/", push_secret=SECRET)
    carrier = CloudTasksBroker(
        "cloudtasks://project/europe-west1?emulator=127.0.0.1:1", BrokerSettings("hostile", options=push)
    )
    async with carrier:
        refused = await carrier.admit({})
    assert refused is not None
    assert refused.status == 401


async def test_the_queue_of_what_cannot_be_read_is_kept_as_it_was_named(tmp_path: Path) -> None:
    carrier = broker(tmp_path)
    body = b"\x93 no message"
    headers = [signed(body), (b"x-headway-queue", b"gr%C3%BC%C3%9Fe")]
    async with receiver(app_on(carrier), handle_sigterm=False) as pushed:
        assert (await send(pushed, "POST", "/", headers, body)).status == 200
        guard = await carrier._keeping.guard("this test")
        assert await guard.desk.counts() == {"grüße": {JobState.FAILED: 1}}


async def test_a_body_that_cannot_be_read_is_kept_once(tmp_path: Path) -> None:
    carrier = broker(tmp_path)
    body = b"\x93 no message"
    headers = [signed(body), (b"x-cloudtasks-taskname", b"abc"), (b"x-headway-queue", b"mail")]
    async with receiver(app_on(carrier), handle_sigterm=False) as pushed:
        answers = [await send(pushed, "POST", "/", headers, body) for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        guard = await carrier._keeping.guard("this test")
        counts = await guard.desk.counts()
    assert counts == {"mail": {JobState.FAILED: 1}}


async def test_an_oversized_body_that_a_token_vouches_for_is_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier = broker(tmp_path)
    body = message(payload=b"x" * 2**21)

    async def trusts(_self: object, _request: object) -> None: ...

    for step in ("admit", "verify"):
        monkeypatch.setattr(f"headway.brokers.cloudtasks.auth.hmac.HmacVerifier.{step}", trusts)
    async with receiver(app_on(carrier), handle_sigterm=False) as pushed:
        for _ in range(2):
            answer = await send(pushed, "POST", "/", [(b"x-cloudtasks-taskname", b"big")], body)
            assert answer.status == 200
        guard = await carrier._keeping.guard("this test")
        assert await guard.desk.counts() == {"unreadable": {JobState.FAILED: 1}}


async def test_a_replay_after_completion_does_nothing(tmp_path: Path) -> None:
    ran: list[int] = []
    app = Headway("hostile", carrier=broker(tmp_path))

    @app.task(name="add")
    async def add(n: int) -> None:
        ran.append(n)

    body = message()
    async with receiver(app, handle_sigterm=False) as pushed:
        first, *later = [await send(pushed, "POST", "/", [signed(body)], body) for _ in range(4)]
    assert [answer.status for answer in (first, *later)] == [200] * 4
    assert [answer.body for answer in later] == [first.body] * 3
    assert ran == [1]


async def test_two_deliveries_in_one_moment_run_the_job_once(tmp_path: Path) -> None:
    """Both come to one process at one instant by its clock: nothing but the name of the holder tells them apart."""
    entered, leave = asyncio.Event(), asyncio.Event()
    ran: list[int] = []
    push = Settings(guard=f"sqlite:///{tmp_path}/guard.db", target="https://x.example/", push_secret=SECRET)
    carrier = CloudTasksBroker(
        "cloudtasks://project/europe-west1?emulator=127.0.0.1:1",
        BrokerSettings("hostile", options=push),
        clock=FakeClock(),
    )
    app = Headway("hostile", carrier=carrier)

    @app.task(name="add")
    async def add(n: int) -> None:
        ran.append(n)
        entered.set()
        await leave.wait()

    body = message()
    async with receiver(app, handle_sigterm=False) as pushed:
        calls = [Call(pushed, body, headers=[signed(body)]).start() for _ in range(5)]
        await asyncio.wait_for(entered.wait(), 10)
        done, _ = await asyncio.wait(
            [call.task for call in calls if call.task], return_when="FIRST_COMPLETED"
        )
        while len(done) < 4:
            done, _ = await asyncio.wait([call.task for call in calls if call.task], timeout=0.01)
        leave.set()
        assert sorted([(await call.answer()).status for call in calls]) == [200, 409, 409, 409, 409]
    assert ran == [1]


@pytest.mark.parametrize("size", [MAX_BODY + 1, MAX_BODY + 300_000, 3 * MAX_BODY])
async def test_a_signed_body_over_the_limit_is_kept_once_as_failed(tmp_path: Path, size: int) -> None:
    body = b"x" * size
    task = (b"x-cloudtasks-taskname", b"large")
    carrier = broker(tmp_path)
    async with receiver(app_on(carrier), handle_sigterm=False) as pushed:
        answers = [await send(pushed, "POST", "/", [task, signed(body)], body) for _ in range(3)]
        wrong = await send(pushed, "POST", "/", [task, signed(body[:-1])], body)
        cut = await send(pushed, "POST", "/", [task, signed(body[:MAX_BODY])], body)
        guard = await carrier._keeping.guard("looking")
        page = await guard.desk.page(JobQuery(), after=None, limit=10)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert (wrong.status, cut.status) == (401, 401)
    assert [job.state for job in page.jobs] == [JobState.FAILED]
