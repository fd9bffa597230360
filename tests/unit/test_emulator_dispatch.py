"""The dispatcher, driven by hand: what goes when, what is sent, and what an answer does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from headway.emulator.credentials import Credentials
from headway.emulator.dispatch import Dispatcher
from headway.emulator.faults import Dice, Faults
from headway.emulator.journal import Journal
from headway.emulator.model import (
    HttpRequest,
    HttpTarget,
    Limits,
    OAuthToken,
    OidcToken,
    Queue,
    QueueState,
    RateLimits,
    RetryConfig,
    Task,
    TaskSpec,
    TaskState,
    UriOverride,
)
from headway.emulator.store import Store
from headway.emulator.target import HttpAnswer, HttpCall, override_url
from headway.emulator.targets import Targets
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE = "projects/p/locations/l/queues/q"
STEADY = RetryConfig(max_attempts=-1, min_backoff_ms=1000, max_backoff_ms=8000, max_doublings=16)


class Signer:
    def sign(self, audience: str, email: str) -> str:
        return f"oidc:{audience}:{email}"

    def access_token(self, email: str, scope: str) -> str:
        return f"oauth:{email}:{scope}"


class Scene:
    """A queue, and a target that answers what the test says."""

    def __init__(
        self, queue: Queue | None = None, *, faults: Faults | None = None, throttle: bool = False
    ) -> None:
        self.clock = FakeClock()
        self.limits = Limits()
        self.store = Store(Journal(), self.clock, self.limits)
        self.store.put_queue(queue or Queue(QUEUE, retry=STEADY))
        self.calls: list[HttpCall] = []
        self.answer: Callable[[HttpCall], HttpAnswer | None] = lambda _: HttpAnswer(200)
        self.gate: asyncio.Event | None = None
        self.dice = Dice(faults or Faults())
        self.dispatcher = Dispatcher(
            self.store,
            self.clock,
            self.deliver,
            dice=self.dice,
            credentials=Credentials(Signer(), b"key", Targets(["http://x", "http://y:81"])),
            throttle=throttle,
        )
        self.dispatcher.load()

    async def deliver(self, call: HttpCall) -> HttpAnswer | None:
        self.calls.append(call)
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(call)

    def add(
        self,
        name: str = "one",
        *,
        due_s: int = 0,
        request: HttpRequest | None = None,
        retry: RetryConfig | None = None,
    ) -> str:
        now = self.clock.now_ms()
        spec = TaskSpec(
            f"{QUEUE}/tasks/{name}",
            request or HttpRequest("http://x/run"),
            now,
            600_000,
            named=True,
            retry=retry,
        )
        task = Task(spec, TaskState((now + due_s * 1000) * 1000))
        self.store.add_task(task)
        self.dispatcher.added(task)
        return task.name

    async def after(self, seconds: float) -> int:
        self.clock.advance(timedelta(seconds=seconds))
        return await self.dispatcher.turn()

    def state(self, name: str) -> TaskState:
        task = self.store.task(name)
        assert task is not None
        return task.state


async def test_a_task_goes_when_it_is_due_and_a_2xx_ends_it() -> None:
    scene = Scene()
    name = scene.add(due_s=10)
    assert await scene.after(9.999) == 0
    assert scene.dispatcher.next_ms() == scene.clock.now_ms() + 1
    assert await scene.after(0.001) == 1
    assert scene.store.task(name) is None
    assert scene.store.task_is_gone(name)
    assert scene.dispatcher.next_ms() is None


async def test_the_name_is_free_again_after_its_time() -> None:
    scene = Scene()
    name = scene.add()
    await scene.after(0)
    scene.clock.advance(scene.limits.task_name_ms - 1)
    assert scene.store.task_is_gone(name)
    scene.clock.advance(1)
    assert not scene.store.task_is_gone(name)


async def test_failures_come_back_by_the_back_off_with_the_documented_headers() -> None:
    scene = Scene()
    name = scene.add(request=HttpRequest("http://x/run", headers={"x-own": "1"}, body=b"hi"))
    answers = iter([HttpAnswer(500), HttpAnswer(409), None, HttpAnswer(200)])
    scene.answer = lambda _: next(answers)
    begin = scene.clock.now_ms() // 1000
    for pause in (0, 1, 2, 4):
        assert await scene.after(pause - 0.001 if pause else 0) == (0 if pause else 1)
        if pause:
            assert await scene.after(0.001) == 1
    assert scene.store.task(name) is None
    shown = [
        {
            key.removeprefix("X-CloudTasks-"): value
            for key, value in call.headers.items()
            if key.startswith("X-Cloud")
        }
        for call in scene.calls
    ]
    assert [row.pop("TaskETA") for row in shown] == [f"{begin + later}.000000" for later in (0, 1, 3, 7)]
    fixed = {"QueueName": "q", "TaskName": "one"}
    assert shown == [
        fixed | {"TaskRetryCount": "0", "TaskExecutionCount": "0"},
        fixed | {"TaskRetryCount": "1", "TaskExecutionCount": "0", "TaskPreviousResponse": "500", "TaskRetryReason": ""},
        fixed | {"TaskRetryCount": "2", "TaskExecutionCount": "1", "TaskPreviousResponse": "409", "TaskRetryReason": ""},
        fixed | {"TaskRetryCount": "3", "TaskExecutionCount": "1", "TaskRetryReason": ""},
    ]  # fmt: skip
    first = scene.calls[0]
    assert (first.method, first.url, first.body, first.attempt) == ("POST", "http://x/run", b"hi", 1)
    assert first.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert first.headers["x-own"] == "1"
    assert first.headers["Content-Type"] == "application/octet-stream"


async def test_a_deadline_that_is_missed_counts_as_504_for_the_next_attempt() -> None:
    scene = Scene()
    scene.add()

    def late(_: HttpCall) -> HttpAnswer:
        raise TimeoutError

    scene.answer = late
    assert await scene.after(0) == 1
    assert await scene.after(1) == 1
    assert scene.calls[1].headers["X-CloudTasks-TaskPreviousResponse"] == "504"
    assert scene.calls[1].headers["X-CloudTasks-TaskExecutionCount"] == "0"


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 10), (10, 10), (11.2, 12), (100, 100), (500, 100)])
def test_the_burst_is_that_of_the_service(rate: float, burst: int) -> None:
    assert RateLimits(rate).burst == burst


async def test_retry_after_holds_a_task_back_and_never_hurries_it() -> None:
    scene = Scene()
    scene.add()
    scene.answer = lambda _: HttpAnswer(409, {"retry-after": "30"})
    assert await scene.after(0) == 1
    assert await scene.after(29.9) == 0
    scene.answer = lambda _: HttpAnswer(409, {"retry-after": "0"})
    assert await scene.after(0.1) == 1
    assert await scene.after(1.9) == 0
    assert await scene.after(0.1) == 1


async def test_a_task_is_deleted_after_its_last_attempt() -> None:
    scene = Scene()
    name = scene.add(retry=RetryConfig(max_attempts=2, min_backoff_ms=1000))
    scene.answer = lambda _: HttpAnswer(500)
    assert await scene.after(0) == 1
    assert scene.state(name).dispatches == 1
    assert await scene.after(1) == 1
    assert scene.store.task(name) is None
    assert await scene.after(100) == 0


async def test_the_signature_covers_time_and_body() -> None:
    scene = Scene()
    scene.add(request=HttpRequest("http://x", body=b"body"))
    await scene.after(0)
    now = scene.clock.now_ms() // 1000
    digest = hmac.new(b"key", f"{now}.body".encode(), hashlib.sha256).hexdigest()
    assert scene.calls[0].headers["X-Headway-Signature"] == f"t={now},v1={digest}"


@pytest.mark.parametrize(
    ("token", "sent"),
    [
        (None, "Basic own"),
        (OidcToken("a@b"), "Bearer oidc:http://x/run:a@b"),
        (OidcToken("a@b", "aud"), "Bearer oidc:aud:a@b"),
        (OAuthToken("a@b", "scope"), "Bearer oauth:a@b:scope"),
    ],
)
async def test_tokens_replace_the_callers_authorization(
    token: OidcToken | OAuthToken | None, sent: str
) -> None:
    scene = Scene()
    scene.add(request=HttpRequest("http://x/run", headers={"authorization": "Basic own"}, token=token))
    await scene.after(0)
    found = {key.lower(): value for key, value in scene.calls[0].headers.items()}
    assert found["authorization"] == sent
    assert sum(key.lower() == "authorization" for key in scene.calls[0].headers) == 1


async def test_a_queues_target_changes_what_is_sent() -> None:
    target = HttpTarget(UriOverride(host="y", port=81), "GET", {"X-Own": "2"}, OidcToken("q@b", "all"))
    scene = Scene(Queue(QUEUE, target=target))
    scene.add(request=HttpRequest("http://x:80/run?a=1", headers={"x-own": "1"}, body=b"hi"))
    await scene.after(0)
    call = scene.calls[0]
    assert (call.method, call.url, call.body) == ("GET", "http://y:81/run?a=1", b"")
    assert call.headers["X-Own"] == "2"
    assert "x-own" not in call.headers
    assert call.headers["Authorization"] == "Bearer oidc:all:q@b"


@pytest.mark.parametrize(
    ("override", "url"),
    [
        (UriOverride(), "http://x:80/a?b=1"),
        (UriOverride(scheme="https", port=0), "https://x/a?b=1"),
        (UriOverride(path="/z", query=""), "http://x:80/z"),
        (UriOverride(host="::1"), "http://[::1]:80/a?b=1"),
        (UriOverride(host="y", if_missing=True), "http://x:80/a?b=1"),
    ],
)
def test_parts_of_the_url_are_overridden(override: UriOverride, url: str) -> None:
    assert override_url("http://x:80/a?b=1", override) == url


async def test_rate_and_burst_bound_what_goes() -> None:
    scene = Scene(Queue(QUEUE, RateLimits(2, 1000)))
    for number in range(20):
        scene.add(f"t{number}")
    assert await scene.after(0) == 10  # the smallest burst
    assert await scene.after(0.4) == 0
    assert await scene.after(0.1) == 1
    assert await scene.after(2) == 4
    assert scene.dispatcher.next_ms() == scene.clock.now_ms() + 500


@pytest.mark.parametrize(
    ("override", "url"),
    [
        (UriOverride(host="y"), "https://y"),
        (UriOverride(scheme="http", host="y", port=81, path="/run", query="a=1"), "http://y:81/run?a=1"),
        (UriOverride(host="y", path="/run", if_missing=True), "https://y/run"),
    ],
)
def test_a_task_without_a_url_gets_its_queues(override: UriOverride, url: str) -> None:
    assert override_url("", override) == url


async def test_concurrency_bounds_what_is_under_way() -> None:
    scene = Scene(Queue(QUEUE, RateLimits(500, 3)))
    for number in range(5):
        scene.add(f"t{number}")
    scene.gate = asyncio.Event()
    assert scene.dispatcher.dispatch_due() == 3
    assert scene.dispatcher.dispatch_due() == 0
    scene.gate.set()
    await scene.dispatcher.settled()
    assert await scene.dispatcher.turn() == 2


async def test_503_slows_the_queue_down_and_success_ends_that() -> None:
    scene = Scene(Queue(QUEUE, RateLimits(10, 1000), STEADY), throttle=True)
    scene.answer = lambda _: HttpAnswer(503)
    for number in range(10):
        scene.add(f"t{number}", retry=RetryConfig(max_attempts=1))
    assert await scene.after(0) == 10
    scene.answer = lambda _: HttpAnswer(200)
    for number in range(40):
        scene.add(f"u{number}")
    assert await scene.after(1) < 2
    for _ in range(60):
        await scene.after(1)
    assert not scene.store.tasks(QUEUE)
    for number in range(10):
        scene.add(f"v{number}")
    assert await scene.after(1) == 10


async def test_a_paused_queue_keeps_its_tasks_but_run_goes_through() -> None:
    scene = Scene(Queue(QUEUE, retry=STEADY, state=QueueState.PAUSED))
    name = scene.add(due_s=60)
    assert await scene.after(100) == 0
    task = scene.store.task(name)
    assert task is not None
    scene.answer = lambda _: HttpAnswer(500)
    shown = scene.dispatcher.run_now(task)
    assert (shown.state.dispatches, shown.state.responses) == (1, 0)
    await scene.dispatcher.settled()
    assert scene.state(name).schedule_us == (scene.clock.now_ms() + 1000) * 1000
    scene.dispatcher.queue_changed(Queue(QUEUE, retry=STEADY))
    assert await scene.after(1) == 1


async def test_a_deadline_ends_an_attempt_and_its_late_answer_counts_for_nothing() -> None:
    scene = Scene()
    name = scene.add()
    scene.gate = asyncio.Event()
    assert scene.dispatcher.dispatch_due() == 1
    await asyncio.sleep(0)
    assert scene.dispatcher.next_ms() == scene.clock.now_ms() + 600_000
    scene.clock.advance(600_000)
    scene.dispatcher.dispatch_due()
    assert scene.dispatcher.flying == 0
    scene.gate.set()
    await asyncio.sleep(0)
    last = scene.state(name).last
    assert last is not None
    assert last.message.startswith("DEADLINE_EXCEEDED(4)")
    assert await scene.after(1) == 1
    assert scene.store.task(name) is None


async def test_of_attempts_that_have_ended_nothing_is_kept_until_their_deadlines() -> None:
    scene = Scene(Queue(QUEUE, RateLimits(500, 5000)))
    rounds = 10
    for turn in range(rounds):
        for number in range(100):
            scene.add(f"t{turn}-{number}", request=HttpRequest("http://x", body=b"large"))
        assert await scene.after(1) == 100
    flights = scene.dispatcher._flights
    assert len(flights) == 0
    assert len(flights._deadlines) < rounds * 100 / 2
    assert all(isinstance(part, int) for entry in flights._deadlines for part in entry)  # no task, no body
    assert scene.dispatcher.next_ms() is None


async def test_a_deadline_is_kept_while_others_end() -> None:
    scene = Scene(Queue(QUEUE, RateLimits(500, 5000)))
    slow = scene.add("slow")
    gate = scene.gate = asyncio.Event()
    assert scene.dispatcher.dispatch_due() == 1
    await asyncio.sleep(0)
    scene.gate = None
    overdue_ms = scene.clock.now_ms() + 600_000
    for number in range(90):  # more than is left of those that ended, fewer than the burst
        scene.add(f"t{number}")
    assert scene.dispatcher.dispatch_due() == 90
    while scene.dispatcher.flying > 1:  # noqa: ASYNC110 - some turns of the loop
        await asyncio.sleep(0)
    assert scene.dispatcher.next_ms() == overdue_ms
    scene.clock.advance(600_000)
    scene.dispatcher.dispatch_due()
    last = scene.state(slow).last
    assert last is not None
    assert last.message.startswith("DEADLINE_EXCEEDED(4)")
    gate.set()


async def test_a_task_is_kept_for_31_days_also_in_a_paused_queue() -> None:
    scene = Scene(Queue(QUEUE, state=QueueState.PAUSED))
    old = scene.add("old", due_s=10)
    scene.clock.advance(timedelta(days=1))
    young = scene.add("young", due_s=30 * 86_400)
    assert scene.dispatcher.next_ms() == scene.clock.now_ms() + 30 * 86_400_000
    await scene.after(30 * 86_400 - 0.001)
    assert scene.store.task(old) is not None
    await scene.after(0.001)
    assert scene.store.task(old) is None
    assert scene.store.task(young) is not None
    scene.dispatcher.queue_changed(Queue(QUEUE))
    assert await scene.after(0) == 1
    assert [call.task for call in scene.calls] == [young]


async def test_old_tasks_end_so_many_a_turn() -> None:
    scene = Scene(Queue(QUEUE, state=QueueState.PAUSED))
    for number in range(2500):
        scene.add(f"t{number}")
    scene.clock.advance(timedelta(days=31))
    left: list[int] = []
    while (at := scene.dispatcher.next_ms()) is not None:
        assert at <= scene.clock.now_ms()
        await scene.dispatcher.turn()
        left.append(len(scene.store.tasks(QUEUE)))
    assert left == [1500, 500, 0]


async def test_nothing_is_planned_once_the_journal_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.add()
    scene.gate = asyncio.Event()
    assert scene.dispatcher.dispatch_due() == 1
    scene.add("two")
    monkeypatch.setattr(Journal, "failure", "the disk is full")
    # Else `run` would turn without a pause over what is due and may not begin.
    assert scene.dispatcher.dispatch_due() == 0
    assert scene.dispatcher.next_ms() == scene.clock.now_ms() + 600_000
    scene.clock.advance(600_000)
    assert scene.dispatcher.dispatch_due() == 0
    assert scene.dispatcher.flying == 0
    assert scene.dispatcher.next_ms() is None


async def test_a_transport_that_keeps_the_deadline_itself_says_the_same() -> None:
    scene = Scene()
    name = scene.add()

    def overrun(_: HttpCall) -> HttpAnswer:
        raise TimeoutError

    scene.answer = overrun
    assert await scene.after(0) == 1
    last = scene.state(name).last
    assert last is not None
    assert last.message.startswith("DEADLINE_EXCEEDED(4)")


async def test_the_answer_of_a_deleted_task_changes_nothing() -> None:
    scene = Scene()
    name = scene.add()
    scene.gate = asyncio.Event()
    scene.answer = lambda _: HttpAnswer(500)
    scene.dispatcher.dispatch_due()
    task = scene.store.task(name)
    assert task is not None
    scene.dispatcher.removed(task)
    scene.store.drop_task(task)
    scene.gate.set()
    await scene.dispatcher.settled()
    assert scene.store.task(name) is None
    assert await scene.after(100) == 0


async def test_a_target_that_cannot_be_called_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(Queue(QUEUE, retry=STEADY, target=HttpTarget(UriOverride(port=1))))
    name = scene.add(request=HttpRequest("http://x:port/"))
    assert await scene.after(0) == 1
    assert scene.state(name).dispatches == 1
    assert "the transport failed" in caplog.text


async def test_duplicates_overlap_or_follow_and_only_the_first_success_counts() -> None:
    scene = Scene(faults=Faults(duplicates=1, seed=3))
    for number in range(50):
        scene.add(f"t{number}")
    assert await scene.after(0) == 50
    assert len(scene.calls) == 100
    assert scene.dice.drawn["duplicates"] == 50
    assert not scene.store.tasks(QUEUE)


async def test_a_copy_that_fails_changes_nothing_and_one_that_succeeds_ends_the_task() -> None:
    scene = Scene(faults=Faults(duplicates=1))
    name = scene.add()
    answers = iter([HttpAnswer(409), HttpAnswer(200)])
    scene.answer = lambda _: next(answers)
    await scene.after(0)
    assert scene.store.task(name) is None
    answers = iter([HttpAnswer(500), HttpAnswer(500)])
    name = scene.add("two")
    await scene.after(0)
    assert scene.state(name).responses == 1


async def test_a_delay_comes_once_and_leaves_the_schedule_time() -> None:
    scene = Scene(faults=Faults(delays=1, delay_ms=2000))
    name = scene.add()
    before = scene.state(name).schedule_us
    assert await scene.after(0) == 0
    assert await scene.after(1.9) == 0
    assert scene.state(name).schedule_us == before
    assert await scene.after(0.1) == 1


async def test_pretended_503_do_not_reach_the_target_and_lost_answers_do() -> None:
    refused = Scene(faults=Faults(unavailable=1))
    name = refused.add()
    await refused.after(0)
    assert not refused.calls
    last = refused.state(name).last
    assert last is not None
    assert last.status == 503
    lost = Scene(faults=Faults(lost=1))
    name = lost.add()
    await lost.after(0)
    assert len(lost.calls) == 1
    assert lost.store.task(name) is not None


async def test_no_fault_loses_a_task() -> None:
    faults = Faults(duplicates=0.2, delays=0.1, delay_ms=2000, unavailable=0.05, lost=0.1, seed=5)
    scene = Scene(faults=faults, throttle=True)
    names = {scene.add(f"t{number}") for number in range(500)}
    for _ in range(400):
        if not scene.store.tasks(QUEUE):
            break
        await scene.after(1)
    assert not scene.store.tasks(QUEUE)
    assert {call.task for call in scene.calls} == names
    assert (
        min(scene.dice.drawn[kind] for kind in ("duplicates", "delays", "unavailable-target", "lost-target"))
        > 0
    )


async def test_run_sleeps_until_something_is_due_or_new() -> None:
    scene = Scene()
    done = asyncio.Event()

    def answer(_: HttpCall) -> HttpAnswer:
        done.set()
        return HttpAnswer(200)

    scene.answer = answer
    scene.dispatcher.start()
    await asyncio.sleep(0)
    scene.add()
    await asyncio.wait_for(done.wait(), 10)
    await scene.dispatcher.close()
