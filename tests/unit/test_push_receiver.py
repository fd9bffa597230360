"""The receiver over a carrier that only notes: what it takes, what it answers, and what becomes of the jobs."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from headway import Context, Headway, Retry
from headway.brokers.base import LeaseState, LogLine, Progress, PushResponse
from headway.codec import decode_result
from headway.errors import BrokerUnavailableError, ConfigError
from headway.job import Cancelled, Failed, Released, RetryAt, Succeeded
from headway.push import Receiver, receiver
from headway.push.intake import MAX_BODY, Intake
from tests.unit.push_scene import Call, FakePush, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

gates: dict[str, Any] = {}


@pytest.fixture
def fake() -> FakePush:
    return FakePush()


@pytest.fixture
def app(fake: FakePush) -> Headway:
    app = Headway("push", carrier=fake.carrier, kill_after=0.2)

    @app.task(name="add")
    async def add() -> int:
        return 3

    @app.task(name="in_thread")
    def in_thread() -> int:
        assert threading.current_thread() is not threading.main_thread()
        return 4

    @app.task(name="fail", retry=Retry.never())
    async def fail() -> None:
        msg = "wrong"
        raise ValueError(msg)

    @app.task(name="again")
    async def again() -> None:
        msg = "wrong"
        raise ValueError(msg)

    @app.task(name="report")
    async def report(ctx: Context) -> None:
        await ctx.progress(0.5, "half")
        ctx.log("a line")

    @app.task(name="wait")
    async def wait() -> str:
        gates["entered"].set()
        await gates["open"].wait()
        return "done"

    @app.task(name="slow", timeout=0.05)
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.task(name="stubborn", timeout=0.05)
    def stubborn() -> None:
        gates["entered_thread"].set()
        gates["open_thread"].acquire(timeout=30)  # no bytecode to be interrupted at

    gates["entered"] = asyncio.Event()
    gates["open"] = asyncio.Event()
    gates["entered_thread"] = threading.Event()
    gates["open_thread"] = threading.Semaphore(0)
    return app


@pytest.fixture
async def pushed(app: Headway) -> AsyncIterator[Receiver]:
    made = receiver(app, handle_sigterm=False)
    async with made:
        yield made
        gates["open"].set()
        gates["open_thread"].release(10)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is seen by the loop itself
            await asyncio.sleep(0)


async def running(pushed: Receiver, task: str = "wait") -> Call:
    gates["entered"].clear()
    call = Call(pushed, task.encode()).start()
    await asyncio.wait_for(gates["entered"].wait(), 10)
    return call


async def test_a_job_is_run_settled_and_answered(pushed: Receiver, fake: FakePush) -> None:
    assert (await post(pushed, "add", path="/any/path", headers=[(b"X-Some", b"1")])).status == 200
    outcome = fake.the_outcome("add")
    assert isinstance(outcome, Succeeded)
    assert decode_result(outcome.result) == 3
    assert (await post(pushed, "in_thread")).status == 200
    assert isinstance(fake.the_outcome("in_thread"), Succeeded)
    assert [(one.headers, one.body) for one in fake.requests] == [
        ({"x-some": "1"}, b"add"),
        ({}, b"in_thread"),
    ]


async def test_failures_go_by_the_retry_policy(pushed: Receiver, fake: FakePush) -> None:
    for task in ("fail", "again", "unknown"):
        await post(pushed, task)
    assert isinstance(fake.the_outcome("fail"), Failed)
    assert isinstance(fake.the_outcome("again"), RetryAt)
    assert isinstance(fake.the_outcome("unknown"), Failed)


async def test_reports_come_before_the_outcome(pushed: Receiver, fake: FakePush) -> None:
    assert (await post(pushed, "report")).status == 200
    assert [type(report.content) for report in fake.reports] == [Progress, LogLine]


async def test_what_the_carrier_answers_is_passed_on(pushed: Receiver, fake: FakePush) -> None:
    fake.instead = PushResponse(409, {"retry-after": "7", "content-type": "x/y"}, b"{}")
    answer = await post(pushed, "add")
    assert (answer.status, answer.headers["retry-after"], answer.body) == (409, "7", b"{}")
    assert (answer.headers["content-length"], answer.headers["content-type"]) == ("2", "x/y")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"])
async def test_only_post_is_taken(pushed: Receiver, fake: FakePush, method: str) -> None:
    answer = await post(pushed, "add", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert not fake.requests


async def test_it_tells_whether_it_takes_jobs(pushed: Receiver) -> None:
    for path in ("/ready", "/mounted/ready"):
        assert (await post(pushed, method="GET", path=path)).status == 200
    await pushed.drain()
    assert (await post(pushed, method="GET", path="/ready")).status == 503


async def test_repeated_headers_are_joined(pushed: Receiver, fake: FakePush) -> None:
    await post(pushed, "add", headers=[(b"Authorization", b"Bearer a"), (b"authorization", b"Bearer b")])
    assert fake.requests[0].headers == {"authorization": "Bearer a, Bearer b"}


async def test_beyond_its_concurrency_it_answers_429(app: Headway, fake: FakePush) -> None:
    async with receiver(app, concurrency=1, handle_sigterm=False) as pushed:
        first = await running(pushed)
        answer = await post(pushed, "add")
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        gates["open"].set()
        assert (await first.answer()).status == 200
        assert (await post(pushed, "add")).status == 200
        assert len(fake.requests) == 2


async def test_a_long_body_is_cut_off(pushed: Receiver, fake: FakePush) -> None:
    fake.instead = PushResponse(200)
    call = Call(pushed).start(whole=False)
    for _ in range(20):
        call.say({"type": "http.request", "body": b"x" * 100_000, "more_body": True})
    assert (await call.answer()).status == 200
    assert len(fake.requests[0].body) == MAX_BODY


async def test_a_sender_that_goes_away_in_its_body_leaves_nothing(pushed: Receiver, fake: FakePush) -> None:
    call = Call(pushed).start(whole=False)
    call.say({"type": "http.request", "body": b"ad", "more_body": True})
    call.say({"type": "http.disconnect"})
    assert (await call.answer()).status == 408
    assert not fake.requests


async def test_a_sender_that_stalls_is_given_up(
    pushed: Receiver, fake: FakePush, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushed, "_intake", Intake(1, seconds=0.01))
    call = Call(pushed).start(whole=False)
    call.say({"type": "http.request", "body": b"ad", "more_body": True})
    assert (await call.answer()).status == 408
    assert not fake.requests


async def test_who_is_refused_by_its_headers_sends_no_body(pushed: Receiver, fake: FakePush) -> None:
    fake.refusal = PushResponse(401)
    call = Call(pushed, headers=[(b"X-Some", b"1")]).start(whole=False)
    answer = await call.answer()
    assert (answer.status, answer.body) == (401, b"")
    assert answer.headers["connection"] == "close"  # its body may be on its way, without end
    assert (fake.admitted, fake.requests) == ([{"x-some": "1"}], [])
    newer = await Call(pushed, http_version="2").start(whole=False).answer()
    assert "connection" not in newer.headers  # HTTP/2 knows no such header


async def test_slow_senders_keep_nobody_out(app: Headway, fake: FakePush) -> None:
    async with receiver(app, concurrency=1, handle_sigterm=False) as pushed:
        slow = [Call(pushed).start(whole=False) for _ in range(20)]
        for call in slow:
            call.say({"type": "http.request", "body": b"a", "more_body": True})
        await until(lambda: len(fake.admitted) == 20)
        for _ in range(3):
            assert (await post(pushed, "add")).status == 200
        # Those that took longest made way for them.
        assert [(await call.answer()).status for call in slow[:17]] == [408] * 17
        for call in slow[17:]:
            assert call.task is not None
            assert not call.task.done()
            call.say({"type": "http.disconnect"})
            await call.answer()


async def test_a_sender_that_goes_away_does_not_lose_the_outcome(pushed: Receiver, fake: FakePush) -> None:
    call = await running(pushed)
    assert call.task is not None
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    gates["open"].set()
    await pushed.drain()
    assert isinstance(fake.the_outcome("wait"), Succeeded)


async def test_a_guard_that_cannot_be_reached_brings_the_task_back(pushed: Receiver, fake: FakePush) -> None:
    fake.receive_errors.append(BrokerUnavailableError("the guard is away"))
    answer = await post(pushed, "add")
    assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "5", b"")
    assert (await post(pushed, "add")).status == 200


async def test_a_defect_is_logged_with_the_job_and_not_shown(
    pushed: Receiver, fake: FakePush, caplog: pytest.LogCaptureFixture
) -> None:
    fake.receive_errors.append(RuntimeError("secret detail"))
    job_id = "0" * 20
    answer = await post(pushed, "add", headers=[(b"x-headway-job", job_id.encode())])
    assert (answer.status, answer.body) == (503, b"")
    assert f"job {job_id}: the receiver failed" in caplog.text
    assert "secret detail" in caplog.text
    fake.receive_errors.append(RuntimeError("again"))
    await post(pushed, "add", headers=[(b"x-headway-job", b"forged\nline")])
    assert "forged" not in caplog.text


async def test_an_outcome_waits_for_its_guard(pushed: Receiver, fake: FakePush) -> None:
    fake.answer_errors.extend([BrokerUnavailableError("away")] * 3)
    assert (await post(pushed, "add")).status == 200
    assert isinstance(fake.the_outcome("add"), Succeeded)


async def test_an_outcome_that_cannot_be_kept_brings_the_task_back(app: Headway, fake: FakePush) -> None:
    async with receiver(app, lease=0.05, handle_sigterm=False) as pushed:
        fake.answer_errors.extend([BrokerUnavailableError("away")] * 50)
        answer = await post(pushed, "add")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


async def test_a_defect_while_answering_is_no_500(pushed: Receiver, fake: FakePush) -> None:
    fake.answer_errors.append(RuntimeError("defect"))
    assert (await post(pushed, "add")).status == 503


async def test_the_time_limit_is_kept(pushed: Receiver, fake: FakePush) -> None:
    assert (await post(pushed, "slow")).status == 200
    assert isinstance(fake.the_outcome("slow"), RetryAt)


async def test_a_thread_that_does_not_end_is_settled_all_the_same(
    pushed: Receiver, fake: FakePush, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await post(pushed, "stubborn")).status == 200
    assert isinstance(fake.the_outcome("stubborn"), RetryAt)
    assert "did not end at its limit" in caplog.text
    gates["open_thread"].release()
    await asyncio.sleep(0)
    assert len(fake.outcomes["stubborn"]) == 1


async def test_a_lease_is_renewed_only_for_what_lasts(app: Headway, fake: FakePush) -> None:
    async with receiver(app, lease=0.3, handle_sigterm=False) as pushed:
        await post(pushed, "add")
        call = await running(pushed)
        await asyncio.wait_for(fake.extended_once.wait(), 10)
        assert all(len(leases) == 1 for leases in fake.extended)
        gates["open"].set()
        assert (await call.answer()).status == 200


async def test_a_failed_renewal_is_tried_again(app: Headway, fake: FakePush) -> None:
    fake.extend_errors.append(BrokerUnavailableError("away"))
    async with receiver(app, lease=0.3, handle_sigterm=False) as pushed:
        call = await running(pushed)
        await asyncio.wait_for(fake.extended_once.wait(), 10)
        gates["open"].set()
        assert (await call.answer()).status == 200


async def test_a_defect_in_a_renewal_does_not_end_all_others(
    app: Headway, fake: FakePush, caplog: pytest.LogCaptureFixture
) -> None:
    """The entry of one job is damaged: the lease of the other is renewed, and the look at leases goes on."""
    async with receiver(app, lease=0.3, handle_sigterm=False) as pushed:
        calls = [await running(pushed), await running(pushed)]
        fake.damaged.add(fake.handed_out[0])
        await until(lambda: fake.extended.count([fake.handed_out[1]]) >= 2)
        gates["open"].set()
        assert [(await call.answer()).status for call in calls] == [200, 200]
    assert f"job {fake.handed_out[0]}: its lease could not be renewed" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_lost_lease_interrupts(app: Headway, fake: FakePush) -> None:
    fake.lease_state = LeaseState.LOST
    async with receiver(app, lease=0.1, handle_sigterm=False) as pushed:
        call = await running(pushed)
        assert (await call.answer()).status == 409
        assert isinstance(fake.the_outcome("wait"), Released)


async def test_a_request_to_cancel_interrupts(app: Headway, fake: FakePush) -> None:
    fake.lease_state = LeaseState.CANCEL_REQUESTED
    async with receiver(app, lease=0.1, handle_sigterm=False) as pushed:
        call = await running(pushed)
        assert (await call.answer()).status == 200
        assert fake.the_outcome("wait") == Cancelled()  # the carrier knows the reason that was given


async def test_draining_lets_jobs_finish_and_takes_no_more(pushed: Receiver, fake: FakePush) -> None:
    call = await running(pushed)
    draining = asyncio.create_task(pushed.drain())
    await asyncio.sleep(0)
    answer = await post(pushed, "add")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    gates["open"].set()
    assert (await call.answer()).status == 200
    await draining
    assert isinstance(fake.the_outcome("wait"), Succeeded)


async def test_at_its_end_it_says_what_the_guard_came_to(
    pushed: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "headway.push"):
        await pushed.drain()
    assert "its guard took 10 commands for 4 jobs, 2.5 each; 1 came late" in caplog.text


async def test_what_does_not_finish_is_handed_back_within_the_grace_time(
    app: Headway, fake: FakePush
) -> None:
    async with receiver(app, grace=0.4, handle_sigterm=False) as pushed:
        call = await running(pushed)
        stubborn = Call(pushed, b"stubborn").start()
        assert await asyncio.to_thread(gates["entered_thread"].wait, 10)
        begun = time.monotonic()
        await pushed.drain()
        assert time.monotonic() - begun < 0.4 + 0.5 + 1
        assert [(await one.answer()).status for one in (call, stubborn)] == [409, 409]
        assert isinstance(fake.the_outcome("wait"), Released)
        assert isinstance(fake.the_outcome("stubborn"), Released)
        gates["open_thread"].release()


async def test_a_second_drain_cuts_the_first_short(app: Headway, fake: FakePush) -> None:
    async with receiver(app, grace=60, handle_sigterm=False) as pushed:
        call = await running(pushed)
        first = asyncio.create_task(pushed.drain())
        await asyncio.sleep(0)
        await pushed.drain(0)
        assert (await call.answer()).status == 409
        await asyncio.wait_for(first, 10)
    assert isinstance(fake.the_outcome("wait"), Released)


async def test_the_app_is_opened_by_the_lifespan(app: Headway, fake: FakePush) -> None:
    pushed = receiver(app, handle_sigterm=False)
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    serving = asyncio.create_task(pushed({"type": "lifespan"}, inbox.get, sent.put))
    inbox.put_nowait({"type": "lifespan.startup"})
    assert (await asyncio.wait_for(sent.get(), 10))["type"] == "lifespan.startup.complete"
    assert (fake.opened, fake.closed) == (1, 0)
    assert (await post(pushed, "add")).status == 200
    inbox.put_nowait({"type": "lifespan.shutdown"})
    assert (await asyncio.wait_for(sent.get(), 10))["type"] == "lifespan.shutdown.complete"
    await serving
    assert (fake.opened, fake.closed) == (1, 1)


async def test_without_a_lifespan_the_first_requests_open_it_once(app: Headway, fake: FakePush) -> None:
    pushed = receiver(app, handle_sigterm=False)
    answers = await asyncio.gather(*(post(pushed, "add") for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    assert fake.opened == 1
    await pushed.close()
    assert fake.closed == 1


async def test_a_carrier_with_workers_has_no_receiver(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pulled = Headway("pulled", url=f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(ConfigError, match="headway worker"):
        await receiver(pulled).open()
    assert (await post(receiver(pulled), "add")).status == 503
    assert "headway worker" in caplog.text
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def startup() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    await receiver(pulled)({"type": "lifespan"}, startup, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "headway worker" in sent[0]["message"]


async def test_other_queues_are_served_elsewhere(app: Headway, fake: FakePush) -> None:
    async with receiver(app, queues=["mail"], handle_sigterm=False) as pushed:
        # Only the carrier knows whom a request comes from, and before that nobody learns what is served here.
        assert (await post(pushed, "add", headers=[(b"x-headway-queue", b"default")])).status == 200
        assert fake.queues == {"mail"}


async def test_a_websocket_is_closed(pushed: Receiver) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    await pushed({"type": "websocket", "path": "/"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_sigterm_drains_beside_the_server(
    app: Headway, fake: FakePush, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with caplog.at_level(logging.INFO):
            async with receiver(app) as pushed:
                call = await running(pushed)
                signal.raise_signal(signal.SIGTERM)
                assert heard == [signal.SIGTERM]
                await asyncio.sleep(0)
                assert (await post(pushed, "add")).status == 503
                gates["open"].set()
                assert (await call.answer()).status == 200
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_sigterm_while_it_opens_lets_no_job_in(app: Headway, fake: FakePush) -> None:
    """The first request opens it, and the guard is slow: by the time that it is open, the instance goes away."""
    fake.open_gate = asyncio.Event()
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        pushed = receiver(app)
        call = Call(pushed, b"add").start()
        await until(lambda: fake.opened == 1)
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        await asyncio.sleep(0)
        fake.open_gate.set()
        assert (await call.answer()).status == 503
        assert not fake.requests
        await pushed.close()
        assert fake.closed == 1
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_closing_while_it_opens_leaves_nothing_open(app: Headway, fake: FakePush) -> None:
    fake.prepare_gate = asyncio.Event()
    pushed = receiver(app, handle_sigterm=False)
    opening = asyncio.create_task(pushed.open())
    await until(lambda: fake.opened == 1)
    await pushed.close()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert fake.closed == 1


async def test_where_nobody_listens_sigterm_is_left_alone(app: Headway) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        async with receiver(app):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
