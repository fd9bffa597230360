from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
import jwt
import pytest
from google.cloud.scheduler_v1.types import (
    AppEngineHttpTarget,
    CreateJobRequest,
    DeleteJobRequest,
    GetJobRequest,
    HttpMethod,
    HttpTarget,
    Job,
    ListJobsRequest,
    OidcToken,
    PauseJobRequest,
    PubsubTarget,
    ResumeJobRequest,
    RetryConfig,
    RunJobRequest,
    UpdateJobRequest,
)

from headway.clock import SystemClock, to_ms
from headway.emulator.credentials import Credentials
from headway.emulator.errors import ApiError, Code
from headway.emulator.faults import Dice, Faults
from headway.emulator.journal import Journal
from headway.emulator.rest import application
from headway.emulator.scheduler.dispatch import SchedulerDispatcher
from headway.emulator.scheduler.entries import Entries
from headway.emulator.scheduler.part import CloudScheduler
from headway.emulator.scheduler.service import SchedulerService
from headway.emulator.target import HttpAnswer, HttpCall
from headway.emulator.targets import Targets
from headway.emulator.tokens import Tokens
from headway.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

PARENT: Final = "projects/shop/locations/europe-west6"
NAME: Final = f"{PARENT}/jobs/nightly"
URL: Final = "https://receiver.example/run"
OK: Final = HttpAnswer(200)
START: Final = datetime(2027, 3, 1, 3, 20, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


def job(**fields: Any) -> Job:
    given: dict[str, Any] = {"name": NAME, "schedule": "0 * * * *", "http_target": HttpTarget(uri=URL)}
    return Job(**(given | fields))


@dataclass
class World:
    """A scheduler whose clock the test moves, and whose calls it sees and answers."""

    journal: Journal = field(default_factory=Journal)
    clock: FakeClock = field(default_factory=lambda: FakeClock(to_ms(START)))
    faults: Faults = field(default_factory=Faults)
    secret: bytes | None = None
    answers: list[HttpAnswer | None] = field(default_factory=list)
    calls: list[HttpCall] = field(default_factory=list)
    gate: asyncio.Event | None = None
    pubsub: str | None = None
    signer: Tokens | None = None

    def __post_init__(self) -> None:
        self.entries = Entries(self.journal)
        self.dispatcher = SchedulerDispatcher(
            self.entries, self.clock, self.deliver,
            credentials=Credentials(self.signer, self.secret, Targets(["https://receiver.example"])), dice=Dice(self.faults), pubsub_host=self.pubsub,
        )  # fmt: skip
        self.service = SchedulerService(
            self.entries, self.dispatcher, self.clock, pubsub=self.pubsub is not None
        )

    async def deliver(self, call: HttpCall) -> HttpAnswer | None:
        self.calls.append(call)
        if self.gate is not None:
            await self.gate.wait()
        return self.answers.pop(0) if self.answers else OK

    async def create(self, **fields: Any) -> Job:
        shown: Job = await self.service.create_job(CreateJobRequest(parent=PARENT, job=job(**fields)))
        return shown

    async def get(self) -> Job:
        shown: Job = await self.service.get_job(GetJobRequest(name=NAME))
        return shown

    async def update(self, changed: Job, *paths: str) -> Job:
        request: dict[str, Any] = (
            {"job": changed, "update_mask": {"paths": paths}} if paths else {"job": changed}
        )
        shown: Job = await self.service.update_job(UpdateJobRequest(**request))
        return shown

    async def after(self, step: timedelta) -> int:
        self.clock.advance(step)
        return await self.dispatcher.turn()

    def times(self) -> list[str]:
        return [call.headers["X-CloudScheduler-ScheduleTime"] for call in self.calls]


@pytest.fixture
def world() -> World:
    return World()


async def refused(code: Code, asked: Any) -> str:
    with pytest.raises(ApiError) as caught:
        await asked
    assert caught.value.code is code
    return caught.value.message


class TestDefinitions:
    async def test_defaults_are_filled_in_as_the_service_does(self, world: World) -> None:
        made = await world.create(http_target=HttpTarget(uri=URL, body=b"{}"))

        assert made.name == NAME
        assert made.state == Job.State.ENABLED
        assert made.time_zone == "UTC"
        assert made.attempt_deadline == timedelta(minutes=3)
        assert made.schedule_time == datetime(2027, 3, 1, 4, tzinfo=UTC)
        assert made.user_update_time == START
        assert made.http_target.http_method == HttpMethod.POST
        assert dict(made.http_target.headers) == {
            "Content-Type": "application/octet-stream",
            "User-Agent": "Google-Cloud-Scheduler",
        }
        config = made.retry_config
        assert (config.retry_count, config.max_doublings) == (0, 5)
        assert config.min_backoff_duration == timedelta(seconds=5)
        assert config.max_backoff_duration == HOUR
        assert await world.get() == made

    async def test_a_token_without_an_audience_is_for_the_target(self, world: World) -> None:
        token = OidcToken(service_account_email="robot@shop")
        made = await world.create(http_target=HttpTarget(uri=URL, oidc_token=token))
        assert made.http_target.oidc_token.audience == URL

    async def test_a_job_without_a_name_gets_one(self, world: World) -> None:
        made = await world.create(name="")
        assert made.name.startswith(f"{PARENT}/jobs/")

    async def test_a_name_is_taken_until_its_job_is_deleted(self, world: World) -> None:
        await world.create()
        await refused(Code.ALREADY_EXISTS, world.create())
        await world.service.delete_job(DeleteJobRequest(name=NAME))
        await refused(Code.NOT_FOUND, world.get())
        await world.create()

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"schedule": ""}, "Schedule"),
            ({"schedule": "every 24 hours"}, "unix-cron"),
            ({"schedule": "@hourly"}, "unix-cron"),
            ({"schedule": "0 0 3 * * *"}, "unix-cron"),
            ({"schedule": "0 25 * * *"}, "hour"),
            ({"schedule": "0 3 L * *"}, "unix-cron"),
            ({"time_zone": "Europe/Nowhere"}, "time zone"),
            ({"http_target": HttpTarget(uri="ftp://host")}, "http://"),
            ({"http_target": HttpTarget(uri="")}, "http://"),
            ({"http_target": HttpTarget(uri="http://")}, "name a host"),
            ({"http_target": HttpTarget(uri="https:///path")}, "name a host"),
            ({"http_target": HttpTarget(uri="http://:8080/")}, "name a host"),
            ({"http_target": HttpTarget(uri="http://host:port/")}, "Invalid uri"),
            ({"http_target": HttpTarget(uri=f"http://{'a' * 2100}")}, "2083"),
            ({"http_target": HttpTarget(uri=URL, body=b"x", http_method=HttpMethod.GET)}, "body"),
            ({"http_target": HttpTarget(uri=URL, oidc_token=OidcToken(audience="x"))}, "service_account_email"),
            ({"http_target": None}, "target must be set"),
            ({"description": "x" * 501}, "500"),
            ({"attempt_deadline": timedelta(seconds=14)}, "15s"),
            ({"attempt_deadline": timedelta(minutes=31)}, "1800s"),
            ({"retry_config": RetryConfig(retry_count=6)}, "retry_count"),
            ({"retry_config": RetryConfig(retry_count=-1)}, "retry_count"),
            ({"retry_config": RetryConfig(max_doublings=-1)}, "max_doublings"),
            ({"retry_config": RetryConfig(min_backoff_duration=timedelta(hours=2))}, "max_backoff_duration"),
            ({"retry_config": RetryConfig(max_retry_duration=timedelta(seconds=-1))}, "negative"),
            ({"name": "nightly"}, "must be formatted"),
            ({"name": f"{PARENT}/jobs/a.b"}, "must be formatted"),
            ({"name": "projects/other/locations/europe-west6/jobs/nightly"}, "parent"),
        ],
    )  # fmt: skip
    async def test_what_the_api_refuses(self, world: World, fields: dict[str, Any], says: str) -> None:
        assert says in await refused(Code.INVALID_ARGUMENT, world.create(**fields))

    async def test_app_engine_targets_are_refused_with_the_reason(self, world: World) -> None:
        target = AppEngineHttpTarget(relative_uri="/run")
        assert "App Engine" in await refused(
            Code.UNIMPLEMENTED, world.create(http_target=None, app_engine_http_target=target)
        )

    async def test_pages_hold_every_job_once(self, world: World) -> None:
        names = [f"{PARENT}/jobs/job-{number}" for number in range(7)]
        for name in reversed(names):
            await world.create(name=name)
        elsewhere = "projects/shop/locations/us-central1"
        await world.service.create_job(
            CreateJobRequest(parent=elsewhere, job=job(name=f"{elsewhere}/jobs/far"))
        )

        seen: list[str] = []
        token = ""
        for _ in range(3):
            page = await world.service.list_jobs(
                ListJobsRequest(parent=PARENT, page_size=3, page_token=token)
            )
            seen += [found.name for found in page.jobs]
            token = page.next_page_token
        assert seen == names
        assert token == ""
        assert len((await world.service.list_jobs(ListJobsRequest(parent=PARENT))).jobs) == 7
        await refused(
            Code.INVALID_ARGUMENT, world.service.list_jobs(ListJobsRequest(parent=PARENT, page_token="x"))
        )


class TestUpdates:
    async def test_the_mask_alone_says_what_changes(self, world: World) -> None:
        await world.create(description="old", retry_config=RetryConfig(retry_count=3))
        changed = await world.update(Job(name=NAME, description="new", schedule="5 * * * *"), "schedule")
        assert changed.schedule == "5 * * * *"
        assert changed.description == "old"
        assert changed.schedule_time == datetime(2027, 3, 1, 4, 5, tzinfo=UTC)

    async def test_without_a_mask_nothing_is_set_back_that_was_not_given(self, world: World) -> None:
        await world.create(description="old", retry_config=RetryConfig(retry_count=3))
        changed = await world.update(Job(name=NAME, schedule="5 * * * *"))
        assert changed.description == "old"
        assert changed.retry_config.retry_count == 3
        assert changed.http_target.uri == URL

    async def test_a_mask_reaches_into_messages_and_takes_the_names_of_json(self, world: World) -> None:
        await world.create(http_target=HttpTarget(uri=URL, headers={"X-Kept": "1"}))
        given = Job(name=NAME, http_target=HttpTarget(uri="https://other.example"))
        changed = await world.update(given, "httpTarget.uri")
        assert changed.http_target.uri == "https://other.example"
        assert changed.http_target.headers["X-Kept"] == "1"

    async def test_a_mask_also_clears(self, world: World) -> None:
        await world.create(description="old", retry_config=RetryConfig(retry_count=3))
        changed = await world.update(Job(name=NAME), "description", "retry_config.retry_count")
        assert changed.description == ""
        assert changed.retry_config.retry_count == 0
        await refused(Code.INVALID_ARGUMENT, world.update(Job(name=NAME), "http_target"))

    async def test_what_only_the_service_says_cannot_be_set(self, world: World) -> None:
        await world.create()
        paused = Job(name=NAME, state=Job.State.PAUSED)
        assert (await world.update(paused)).state == Job.State.ENABLED
        assert (await world.update(paused, "state", "schedule_time")).state == Job.State.ENABLED

    @pytest.mark.parametrize(
        "path", ["nonsense", "retry_config.nonsense", "schedule.x", "http_target.headers.x"]
    )
    async def test_an_unknown_field_in_the_mask_is_refused(self, world: World, path: str) -> None:
        await world.create()
        assert path in await refused(Code.INVALID_ARGUMENT, world.update(Job(name=NAME), path))

    async def test_an_update_keeps_a_job_paused_and_needs_one(self, world: World) -> None:
        await refused(Code.NOT_FOUND, world.update(job()))
        await world.create()
        await world.service.pause_job(PauseJobRequest(name=NAME))
        assert (await world.update(job(schedule="5 * * * *"))).state == Job.State.PAUSED
        assert await world.after(2 * HOUR) == 0


class TestRuns:
    async def test_a_job_runs_at_each_time_of_its_schedule(self, world: World) -> None:
        await world.create(
            http_target=HttpTarget(uri=URL, body=b"{}", headers={"X-Mine": "1", "User-Agent": "mine"})
        )
        assert await world.dispatcher.turn() == 0
        assert await world.after(timedelta(minutes=40)) == 1
        assert await world.dispatcher.turn() == 0
        assert await world.after(HOUR) == 1

        (call, second) = world.calls
        assert (call.url, call.method, call.body) == (URL, "POST", b"{}")
        assert call.headers == {
            "Content-Type": "application/octet-stream",
            "X-Mine": "1",
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": "nightly",
            "X-CloudScheduler-ScheduleTime": "2027-03-01T04:00:00Z",
        }
        assert call.timeout_ms == 180_000
        assert second.headers["X-CloudScheduler-ScheduleTime"] == "2027-03-01T05:00:00Z"

    async def test_the_schedule_is_in_the_jobs_time_zone(self, world: World) -> None:
        made = await world.create(schedule="0 3 * * *", time_zone="Europe/Zurich")
        assert made.schedule_time == datetime(2027, 3, 2, 2, tzinfo=UTC)
        summer = datetime(2027, 3, 28, 3, tzinfo=UTC)
        world.clock.advance(summer - START)
        assert await world.dispatcher.turn() == 1  # for the first time
        assert (
            await world.dispatcher.turn() == 1
        )  # for the latest, of those that the jump of the clock left out
        assert (await world.get()).schedule_time == datetime(2027, 3, 29, 1, tzinfo=UTC)

    async def test_a_handler_cannot_be_lied_to_about_the_scheduler(self, world: World) -> None:
        lies = {
            "X-CloudScheduler-JobName": "other",
            "X-Google-Evil": "1",
            "X-AppEngine-Cron": "1",
            "Host": "evil",
        }
        await world.create(http_target=HttpTarget(uri=URL, headers=lies))
        await world.after(HOUR)
        headers = world.calls[0].headers
        assert headers["X-CloudScheduler-JobName"] == "nightly"
        assert not {"X-Google-Evil", "X-AppEngine-Cron", "Host"} & set(headers)

    async def test_a_call_carries_its_token_and_its_signature(self) -> None:
        world = World(signer=Tokens(), secret=b"secret")
        token = OidcToken(service_account_email="robot@shop", audience="https://receiver")
        await world.create(
            http_target=HttpTarget(uri=URL, oidc_token=token, headers={"authorization": "mine"})
        )
        await world.after(HOUR)

        headers = world.calls[0].headers
        kind, _, text = headers["Authorization"].partition(" ")
        claims = jwt.decode(text, options={"verify_signature": False})
        assert kind == "Bearer"
        assert (claims["aud"], claims["email"]) == ("https://receiver", "robot@shop")
        assert "authorization" not in headers
        assert headers["X-Headway-Signature"].startswith(f"t={world.clock.now_ms() // 1000},v1=")

    async def test_failures_are_retried_under_the_time_of_the_schedule(self, world: World) -> None:
        await world.create(retry_config=RetryConfig(retry_count=2))
        world.answers = [HttpAnswer(500), None, OK]

        await world.after(timedelta(minutes=40))
        shown = await world.get()
        assert (shown.status.code, shown.last_attempt_time) == (
            Code.INTERNAL,
            datetime(2027, 3, 1, 4, tzinfo=UTC),
        )
        assert shown.schedule_time == datetime(2027, 3, 1, 4, 0, 5, tzinfo=UTC)
        assert await world.after(timedelta(seconds=5)) == 1
        assert (await world.get()).status.code == Code.UNAVAILABLE
        assert await world.after(timedelta(seconds=10)) == 1

        shown = await world.get()
        assert shown.status.code == Code.OK
        assert shown.schedule_time == datetime(2027, 3, 1, 5, tzinfo=UTC)
        assert world.times() == ["2027-03-01T04:00:00Z"] * 3

    async def test_an_attempt_without_an_answer_ends_at_its_deadline(self, world: World) -> None:
        await world.create()
        world.gate = asyncio.Event()
        world.clock.advance(HOUR)
        assert world.dispatcher.dispatch_due() == 1
        world.clock.advance(timedelta(minutes=3))
        assert world.dispatcher.next_ms() == world.clock.now_ms()
        assert world.dispatcher.dispatch_due() == 0
        await world.dispatcher.settled()
        assert (await world.get()).status.code == Code.DEADLINE_EXCEEDED

    async def test_a_job_does_not_run_beside_itself(self, world: World) -> None:
        await world.create(schedule="* * * * *", attempt_deadline=timedelta(minutes=30))
        world.gate = asyncio.Event()
        world.clock.advance(timedelta(minutes=1))
        assert world.dispatcher.dispatch_due() == 1
        world.clock.advance(timedelta(minutes=5))
        assert world.dispatcher.dispatch_due() == 0
        world.gate.set()
        await world.dispatcher.settled()

        assert await world.dispatcher.turn() == 1
        assert world.times() == ["2027-03-01T03:21:00Z", "2027-03-01T03:26:00Z"]

    async def test_a_run_by_hand_carries_the_time_of_the_next_run(self, world: World) -> None:
        await world.create()
        await world.service.run_job(RunJobRequest(name=NAME))
        await world.dispatcher.settled()
        assert (await world.get()).last_attempt_time == START
        await world.after(HOUR)
        assert world.times() == ["2027-03-01T04:00:00Z", "2027-03-01T04:00:00Z"]

    async def test_a_paused_job_runs_by_hand_only(self, world: World) -> None:
        await world.create()
        await refused(Code.FAILED_PRECONDITION, world.service.resume_job(ResumeJobRequest(name=NAME)))
        paused = await world.service.pause_job(PauseJobRequest(name=NAME))
        assert paused.state == Job.State.PAUSED
        await refused(Code.FAILED_PRECONDITION, world.service.pause_job(PauseJobRequest(name=NAME)))
        assert await world.after(3 * HOUR) == 0
        assert world.dispatcher.next_ms() is None
        await world.service.run_job(RunJobRequest(name=NAME))
        await world.dispatcher.settled()
        assert world.times() == ["2027-03-01T07:00:00Z"]

        resumed = await world.service.resume_job(ResumeJobRequest(name=NAME))
        assert (resumed.state, resumed.schedule_time) == (
            Job.State.ENABLED,
            datetime(2027, 3, 1, 7, tzinfo=UTC),
        )
        assert await world.after(HOUR) == 1

    async def test_an_answer_that_comes_after_a_change_moves_nothing(self, world: World) -> None:
        await world.create()
        world.gate = asyncio.Event()
        world.clock.advance(HOUR)
        world.dispatcher.dispatch_due()
        await world.update(Job(name=NAME, schedule="30 * * * *"))
        world.gate.set()
        await world.dispatcher.settled()
        shown = await world.get()
        assert shown.schedule_time == datetime(2027, 3, 1, 4, 30, tzinfo=UTC)
        assert shown.last_attempt_time == START + HOUR

    async def test_an_answer_that_comes_after_the_end_is_dropped(self, world: World) -> None:
        await world.create()
        world.gate = asyncio.Event()
        world.clock.advance(HOUR)
        world.dispatcher.dispatch_due()
        await world.service.delete_job(DeleteJobRequest(name=NAME))
        world.gate.set()
        await world.dispatcher.settled()
        await refused(Code.NOT_FOUND, world.get())

    async def test_a_job_that_takes_the_name_of_a_deleted_one_begins_anew(self, world: World) -> None:
        await world.create(attempt_deadline=timedelta(minutes=30))
        world.gate = asyncio.Event()
        world.clock.advance(HOUR)
        assert world.dispatcher.dispatch_due() == 1
        await asyncio.sleep(0)
        await world.service.delete_job(DeleteJobRequest(name=NAME))
        await world.create(schedule="* * * * *")
        world.clock.advance(timedelta(minutes=1))
        first_gate, world.gate = world.gate, None
        assert world.dispatcher.dispatch_due() == 1  # it does not wait for the other's run
        while len(world.dispatcher._jobs()) > 1:  # noqa: ASYNC110 - a turn or two of the loop
            await asyncio.sleep(0)
        succeeded = await world.get()
        assert succeeded.status.code == Code.OK
        world.answers = [HttpAnswer(500)]
        first_gate.set()
        await world.dispatcher.settled()
        assert await world.get() == succeeded

    async def test_an_update_leaves_a_job_the_same(self, world: World) -> None:
        await world.create(attempt_deadline=timedelta(minutes=30))
        world.gate = asyncio.Event()
        world.clock.advance(HOUR)
        assert world.dispatcher.dispatch_due() == 1
        await world.update(Job(name=NAME, schedule="* * * * *"))
        world.clock.advance(timedelta(minutes=1))
        assert world.dispatcher.dispatch_due() == 0  # not beside itself
        world.gate.set()
        await world.dispatcher.settled()
        assert (await world.get()).status.code == Code.OK

    async def test_a_transport_that_raises_is_a_failed_attempt(self, world: World) -> None:
        await world.create()

        async def broken(_call: HttpCall) -> HttpAnswer:
            raise RuntimeError

        world.dispatcher._deliver = broken
        await world.after(HOUR)
        assert (await world.get()).status.code == Code.UNAVAILABLE

    async def test_a_transport_that_keeps_the_deadline_itself_says_the_same(self, world: World) -> None:
        await world.create()

        async def overrun(_call: HttpCall) -> HttpAnswer:
            raise TimeoutError

        world.dispatcher._deliver = overrun
        await world.after(HOUR)
        assert (await world.get()).status.code == Code.DEADLINE_EXCEEDED

    async def test_messages_go_to_the_pubsub_emulator(self) -> None:
        topic = PubsubTarget(
            topic_name="projects/shop/topics/ticks", data=b"tick", attributes={"kind": "hourly"}
        )
        without = World()
        assert "PUBSUB_EMULATOR_HOST" in await refused(
            Code.UNIMPLEMENTED, without.create(http_target=None, pubsub_target=topic)
        )
        world = World(pubsub="127.0.0.1:8085")
        await world.create(http_target=None, pubsub_target=topic)
        await world.after(HOUR)
        (call,) = world.calls
        assert call.url == "http://127.0.0.1:8085/v1/projects/shop/topics/ticks:publish"
        assert call.body == b'{"messages":[{"data":"dGljaw==","attributes":{"kind":"hourly"}}]}'


class TestFaults:
    async def test_a_duplicate_is_a_second_delivery_of_the_same_time(self) -> None:
        world = World(faults=Faults(duplicates=1))
        await world.create()
        await world.after(HOUR)
        assert world.times() == ["2027-03-01T04:00:00Z"] * 2
        assert (await world.get()).schedule_time == datetime(2027, 3, 1, 5, tzinfo=UTC)

    async def test_a_second_delivery_beyond_the_deadline_leaves_the_first_answer(self) -> None:
        world = World(faults=Faults(duplicates=1))
        await world.create()
        world.clock.advance(HOUR)
        second = asyncio.Event()

        async def deliver(call: HttpCall) -> HttpAnswer:
            world.calls.append(call)
            if len(world.calls) == 2:
                second.set()
                await asyncio.Event().wait()
            return OK

        world.dispatcher._deliver = deliver
        assert world.dispatcher.dispatch_due() == 1
        await asyncio.wait_for(second.wait(), 10)
        world.clock.advance(timedelta(minutes=3))
        assert world.dispatcher.dispatch_due() == 0
        shown = await world.get()
        assert shown.status.code == Code.OK
        assert shown.schedule_time == datetime(2027, 3, 1, 5, tzinfo=UTC)

    async def test_a_delay_comes_once(self) -> None:
        world = World(faults=Faults(delays=1, delay_ms=2000))
        await world.create()
        assert await world.after(timedelta(minutes=40)) == 0
        assert await world.after(timedelta(seconds=2)) == 1
        assert world.times() == ["2027-03-01T04:00:00Z"]

    async def test_lost_and_refused_answers_are_failures(self) -> None:
        lost = World(faults=Faults(lost=1))
        await lost.create()
        await lost.after(HOUR)
        assert len(lost.calls) == 1
        refusing = World(faults=Faults(unavailable=1))
        await refusing.create()
        await refusing.after(HOUR)
        assert refusing.calls == []
        for world in (lost, refusing):
            assert (await world.get()).status.code == Code.UNAVAILABLE


class Hurrying:
    """The clock of this machine, set forward to a moment before four o'clock."""

    def __init__(self) -> None:
        self._ahead = to_ms(START + timedelta(minutes=40)) - 100 - SystemClock().now_ms()

    def now_ms(self) -> int:
        return SystemClock().now_ms() + self._ahead


class TestInTheBackground:
    async def test_what_is_due_runs_by_itself(self) -> None:
        came: asyncio.Queue[HttpCall] = asyncio.Queue()

        async def deliver(call: HttpCall) -> HttpAnswer:
            came.put_nowait(call)
            return OK

        scheduler = CloudScheduler(Journal(), Hurrying(), Dice(Faults()), deliver=deliver)
        await scheduler.open()
        await scheduler.service.create_job(CreateJobRequest(parent=PARENT, job=job()))
        async with asyncio.timeout(20):
            call = await came.get()
        await scheduler.close()
        assert call.headers["X-CloudScheduler-ScheduleTime"] == "2027-03-01T04:00:00Z"

    async def test_its_locations_are_those_of_its_jobs(self) -> None:
        scheduler = CloudScheduler(
            Journal(), FakeClock(to_ms(START)), Dice(Faults()), deliver=World().deliver, automatic=False
        )
        await scheduler.open()
        await scheduler.service.create_job(CreateJobRequest(parent=PARENT, job=job()))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(application(scheduler.routes)), base_url="http://emulator/v1/"
        ) as rest:
            listed = (await rest.get("projects/shop/locations")).json()
            shown = (await rest.get("projects/shop/locations/us-central1")).json()
            elsewhere = (await rest.get("projects/other/locations")).json()
        await scheduler.close()
        assert [location["name"] for location in listed["locations"]] == [PARENT]
        assert shown["locationId"] == "us-central1"
        assert elsewhere == {}

    async def test_by_hand_means_by_hand(self) -> None:
        clock = FakeClock(to_ms(START))
        scheduler = CloudScheduler(Journal(), clock, Dice(Faults()), deliver=World().deliver, automatic=False)
        await scheduler.open()
        await scheduler.service.create_job(CreateJobRequest(parent=PARENT, job=job()))
        clock.advance(HOUR)
        assert await scheduler.dispatcher.turn() == 1
        await scheduler.close()


class TestRestarts:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "state.db"

    async def opened(self, path: Path, clock: FakeClock | None = None) -> World:
        journal = Journal(path)
        await journal.open()
        world = World(journal=journal, clock=clock or FakeClock(to_ms(START)))
        world.entries.load()
        return world

    async def test_jobs_survive_and_what_was_missed_runs_once(self, path: Path) -> None:
        first = await self.opened(path)
        made = await first.create(retry_config=RetryConfig(retry_count=1))
        await first.journal.close()

        first.clock.advance(5 * HOUR)
        second = await self.opened(path, first.clock)
        assert await second.get() == made
        assert await second.dispatcher.turn() == 1
        assert second.times() == ["2027-03-01T04:00:00Z"]
        assert await second.dispatcher.turn() == 1
        assert second.times()[1:] == ["2027-03-01T08:00:00Z"]
        assert await second.dispatcher.turn() == 0
        await second.journal.close()

    async def test_an_attempt_that_was_under_way_is_made_again(self, path: Path) -> None:
        first = await self.opened(path)
        await first.create()
        first.gate = asyncio.Event()
        first.clock.advance(HOUR)
        first.dispatcher.dispatch_due()
        await first.entries.commit()
        await first.dispatcher.close()
        await first.journal.close()

        second = await self.opened(path, first.clock)
        assert await second.dispatcher.turn() == 1
        assert second.times() == ["2027-03-01T04:00:00Z"]
        await second.journal.close()
