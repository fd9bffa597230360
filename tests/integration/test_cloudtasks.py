"""The carrier on the emulator, over real gRPC: what a task carries, what is refused, what faults leave behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from headway import Headway
from headway.app.opening import broker_settings
from headway.brokers.base import BrokerSettings
from headway.brokers.cloudtasks.broker import CloudTasksBroker
from headway.brokers.cloudtasks.enqueue import MAX_PAYLOAD
from headway.codec import Codec
from headway.config import Settings
from headway.emulator.faults import Faults
from headway.emulator.model import OidcToken
from headway.emulator.server import Emulator
from headway.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    ConfigError,
    PartlyAcceptedError,
    UnsupportedError,
)
from headway.guards.url import from_url as guard_store
from headway.job import Fire, JobState, NewJob, new_job_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.emulator.model import Task

_TARGET = "https://receiver.example/jobs"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Queues and tasks that nobody dispatches."""
    async with Emulator(automatic=False) as running:
        yield running


@pytest.fixture
def push(tmp_path: Path) -> Settings:
    return Settings(guard=f"sqlite:///{tmp_path}/guard.db", target=_TARGET)


def _broker(
    emulator: Emulator, push: Settings, options: str = "", app: str = "shop", **limits: Any
) -> CloudTasksBroker:
    url = f"cloudtasks://p1/here?emulator={emulator.grpc_address}{options}"
    return CloudTasksBroker(url, BrokerSettings(namespace=app, options=push, **limits))


def _job(**changes: object) -> NewJob:
    job = NewJob(id=new_job_id(), task="shop.pay", queue="mail", payload=Codec().encode_call("t", (), {}))
    return replace(job, **changes)


def _tasks(emulator: Emulator) -> dict[str, list[Task]]:
    """Return the tasks of each queue, by its short name."""
    return {
        queue.name.rpartition("/")[2]: list(emulator.store.tasks(queue.name).values())
        for queue in emulator.store.queues()
    }


async def test_a_task_says_all_that_its_dispatch_needs(emulator: Emulator, push: Settings) -> None:
    settings = replace(push, service_account="sa@p1.example")
    payload = Codec().encode_call("t", (1,), {}, {"traceparent": "00-a-b-01"})
    job = _job(payload=payload, queue="mail", task="shop.größe")
    async with _broker(emulator, settings, timeout_ms=100_000) as broker:
        await broker.enqueue([job])
    [[task]] = _tasks(emulator).values()
    request = task.spec.request
    assert (request.url, request.method) == (_TARGET, "POST")
    assert request.token == OidcToken("sa@p1.example", _TARGET)
    assert task.spec.deadline_ms == 130_000
    assert task.spec.retry is not None
    assert (task.spec.retry.max_attempts, task.spec.retry.max_duration_ms) == (-1, 0)
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["content-type"] == "application/vnd.headway.job+msgpack"
    assert headers["x-headway-job"] == job.id
    assert headers["x-headway-task"] == "shop.gr%C3%B6%C3%9Fe"
    assert headers["x-headway-queue"] == "mail"
    assert headers["traceparent"] == "00-a-b-01"
    assert "x-headway-signature" not in headers
    assert job.id not in task.name


@pytest.mark.parametrize(
    ("timeout_ms", "deadline_ms"), [(1, 30_001), (60_000, 90_000), (3_600_000, 1_800_000)]
)
async def test_the_deadline_follows_the_time_limit_of_the_call(
    emulator: Emulator, push: Settings, timeout_ms: int, deadline_ms: int
) -> None:
    payload = Codec().encode_call("t", (), {}, timeout_ms=timeout_ms)
    async with _broker(emulator, push) as broker:
        await broker.enqueue([_job(payload=payload)])
    [[task]] = _tasks(emulator).values()
    assert task.spec.deadline_ms == deadline_ms


async def test_the_deadline_follows_the_time_limit_of_the_task(emulator: Emulator, push: Settings) -> None:
    async with _broker(emulator, push, timeouts={"slow": 1_200_000}) as broker:
        await broker.enqueue([_job(task="slow", queue="a"), _job(task="t", queue="b")])
    tasks = _tasks(emulator)
    assert tasks["shop-a"][0].spec.deadline_ms == 1_230_000
    assert tasks["shop-b"][0].spec.deadline_ms == 630_000


async def test_an_app_tells_its_carrier_the_time_limits_of_its_tasks() -> None:
    app = Headway("shop", timeout=60)

    @app.task(name="slow", timeout=1200)
    async def slow() -> None: ...

    assert broker_settings("shop", app.settings, app.tasks).timeouts == {"slow": 1_200_000}
    assert slow.name == "slow"


async def test_queues_have_their_own_receivers_and_audience(emulator: Emulator, push: Settings) -> None:
    settings = replace(
        push,
        targets={"slow": "https://slow.example/"},
        service_account="sa@x",
        audience="https://aud.example",
    )
    async with _broker(emulator, settings) as broker:
        await broker.enqueue([_job(queue="slow"), _job(queue="mail")])
    tasks = _tasks(emulator)
    assert tasks["shop-slow"][0].spec.request.url == "https://slow.example/"
    assert tasks["shop-mail"][0].spec.request.url == _TARGET
    assert tasks["shop-slow"][0].spec.request.token == OidcToken("sa@x", "https://aud.example")


async def test_priorities_go_to_queues_of_their_own(emulator: Emulator, push: Settings) -> None:
    async with _broker(emulator, replace(push, priority_bands=[4, 8])) as broker:
        jobs = [_job(priority=priority) for priority in range(10)]
        await broker.enqueue(jobs)
        counts = {name: len(tasks) for name, tasks in _tasks(emulator).items()}
        assert counts == {"shop-mail": 4, "shop-mail-p1": 4, "shop-mail-p2": 2}
        [row] = await broker.counts()
        assert (row.queue, row.counts[JobState.READY]) == ("mail", 10)
        await broker.pause("mail")
        assert await broker.paused() == {"mail"}
        assert await broker.drain("mail") == 10


async def test_a_producer_of_plain_jobs_needs_no_guard(emulator: Emulator) -> None:
    async with _broker(emulator, Settings(target=_TARGET)) as broker:
        job = _job()
        assert [answer.duplicate_of for answer in await broker.enqueue([job])] == [None]
        await broker.declare_schedules([])
        for refused in (
            broker.enqueue([_job(key="k")]),
            broker.enqueue([_job(fire=Fire("daily", 1))]),
            broker.get([job.id]),
            broker.cancel([job.id]),
            broker.counts(),
        ):
            with pytest.raises(UnsupportedError, match="HEADWAY_GUARD"):
                await refused


async def test_a_job_without_a_receiver_is_refused_before_anything_is_written(emulator: Emulator) -> None:
    async with _broker(emulator, Settings(targets={"mail": _TARGET})) as broker:
        with pytest.raises(ConfigError, match=r"'other'.*HEADWAY_TARGET"):
            await broker.enqueue([_job(), _job(queue="other")])
    assert _tasks(emulator) == {}


async def test_a_missing_queue_is_named_where_none_may_be_created(emulator: Emulator, push: Settings) -> None:
    async with _broker(emulator, push, "&create_queues=0") as broker:
        with pytest.raises(BrokerRefusedError, match=r"shop-mail.*headway gcp apply"):
            await broker.enqueue([_job()])
        with pytest.raises(BrokerRefusedError, match="headway gcp apply"):
            await broker.pause("mail")


async def test_of_many_jobs_those_that_were_accepted_are_named(emulator: Emulator, push: Settings) -> None:
    async with _broker(emulator, push) as broker:
        await broker.enqueue([_job(queue="there")])
    async with _broker(emulator, push, "&create_queues=0") as broker:
        jobs = [_job(queue="there"), _job(queue="missing"), _job(queue="there")]
        with pytest.raises(PartlyAcceptedError, match="shop-missing") as caught:
            await broker.enqueue(jobs)
        assert caught.value.accepted == (jobs[0].id, jobs[2].id)


async def test_a_key_whose_first_producer_died_is_not_blocked(emulator: Emulator, push: Settings) -> None:
    """It reserved the key and did not live to create the task: whoever comes next creates that very job."""
    dead = _job(key="order-1")
    async with _broker(emulator, push) as broker:
        guard = await broker._keeping.guard("the test")
        await guard.reservations.reserve(dead, "order-1")
        [answer] = await broker.enqueue([_job(key="order-1", queue="other")])
        assert answer.duplicate_of == dead.id
        [record] = await broker.get([dead.id])
        assert record is not None
        assert (record.state, record.queue, record.key) == (JobState.READY, "mail", "order-1")
        assert await broker.get([answer.id]) == [None]


async def test_a_fire_whose_scheduler_died_is_not_skipped(emulator: Emulator, push: Settings) -> None:
    dead = _job(fire=Fire("daily", 1_000))
    async with _broker(emulator, push) as broker:
        guard = await broker._keeping.guard("the test")
        await guard.reserve_fire(dead, Fire("daily", 1_000))
        [answer] = await broker.enqueue([_job(fire=Fire("daily", 1_000))])
        assert answer.duplicate_of == dead.id
        [row] = await broker.counts()
        assert row.counts[JobState.READY] == 1


async def test_a_retry_by_hand_that_failed_half_way_is_mended_by_another(
    emulator: Emulator, push: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard has the job's new life, Cloud Tasks not its task: nothing but this brings it back."""
    job = _job()
    async with _broker(emulator, push) as broker:
        await broker.enqueue([job])
        await broker.cancel([job.id])
        assert [len(tasks) for tasks in _tasks(emulator).values()] == [0]

        async def fail(pushed: object) -> bool:
            raise BrokerUnavailableError

        with monkeypatch.context() as patch:
            patch.setattr(broker._enqueuer, "create", fail)
            with pytest.raises(BrokerUnavailableError):
                await broker.retry([job.id])
        assert await broker.retry([job.id]) == [False]
        assert [len(tasks) for tasks in _tasks(emulator).values()] == [1]
        [record] = await broker.get([job.id])
        assert record is not None
        assert record.state is JobState.READY


async def test_lost_answers_and_refused_calls_neither_lose_nor_double_a_job(push: Settings) -> None:
    async with (
        Emulator(automatic=False, faults=Faults(unavailable=0.2, lost=0.2, seed=7)) as emulator,
        _broker(emulator, push) as broker,
    ):
        jobs = [_job(key=f"k{number}" if number % 3 == 0 else None) for number in range(150)]
        answers = [answer for batch in (jobs[:75], jobs[75:]) for answer in await broker.enqueue(batch)]
        assert [answer.duplicate_of for answer in answers] == [None] * 150
        [tasks] = _tasks(emulator).values()
        assert sorted(task.spec.request.headers["X-Headway-Job"] for task in tasks) == sorted(
            job.id for job in jobs
        )


async def test_the_largest_payload_with_the_longest_names_fits(emulator: Emulator, push: Settings) -> None:
    job = _job(
        task="\N{SNOWMAN}" * 200,
        queue="\U0001f680" * 200,
        key="\U0001f680" * 500,
        payload=b"\x00" * MAX_PAYLOAD,
    )
    async with _broker(emulator, replace(push, push_secret="s" * 40), app="\U0001f680" * 200) as broker:
        await broker.enqueue([job])
        [record] = await broker.get([job.id])
        assert record is not None
        assert len(record.payload) == MAX_PAYLOAD
        with pytest.raises(UnsupportedError, match="offload"):
            await broker.enqueue([_job(payload=b"\x00" * (MAX_PAYLOAD + 1))])


async def test_an_empty_queue_keeps_its_name_when_its_id_is_a_hash(
    emulator: Emulator, push: Settings
) -> None:
    async with _broker(emulator, push) as broker:
        await broker.pause("mail.eu")
        assert await broker.paused() == {"mail.eu"}
    async with _broker(emulator, push) as other:
        assert await other.paused() == {"mail.eu"}
        assert [(row.queue, row.paused) for row in await other.counts()] == [("mail.eu", True)]
    async with _broker(emulator, push, app="shop-mail") as foreign:
        assert await foreign.paused() == frozenset()


async def test_apps_whose_names_nearly_meet_are_apart(emulator: Emulator, push: Settings) -> None:
    async with _broker(emulator, push, app="a") as one, _broker(emulator, push, app="a-b") as two:
        await one.enqueue([_job(queue="b-c")])
        await two.enqueue([_job(queue="c"), _job(queue="c.d")])
        assert [row.queue for row in await one.counts()] == ["b-c"]
        assert [row.queue for row in await two.counts()] == ["c", "c.d"]
        assert await one.drain("b-c") == 1
        assert len(_tasks(emulator)["a-b-c"]) == 1


async def test_an_emulator_that_is_not_there_is_told(push: Settings) -> None:
    settings = BrokerSettings(namespace="shop", options=push)
    broker = CloudTasksBroker("cloudtasks://p1/here?emulator=127.0.0.1:9", settings)
    broker._api._patience_s = 0.3
    async with broker, asyncio.timeout(20):
        with pytest.raises(BrokerUnavailableError, match=r"emulator at 127\.0\.0\.1:9"):
            await broker.enqueue([_job()])


async def test_a_closed_carrier_says_so(emulator: Emulator, push: Settings) -> None:
    broker = _broker(emulator, push)
    with pytest.raises(BrokerUnavailableError, match="not open"):
        await broker.enqueue([_job()])
    with pytest.raises(UnsupportedError, match="events"):
        broker.events()


async def test_the_guards_store_is_left_alone_by_another_app(emulator: Emulator, push: Settings) -> None:
    store = guard_store(push.guard, namespace="other")
    await store.open()
    async with _broker(emulator, push) as broker:
        await broker.enqueue([_job(key="k")])
        assert await store.counts(now_ms=0) == {}
    await store.close()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"target": "receiver.example"}, "target"),
        ({"target": "ftp://receiver.example"}, "target"),
        ({"targets": {"mail": "nowhere"}}, r"targets\.mail"),
        ({"priority_bands": [5, 3]}, "priority_bands"),
        ({"priority_bands": [0]}, "priority_bands"),
        ({"priority_bands": [10]}, "priority_bands"),
        ({"guard": "nothing"}, "guard"),
    ],
)
def test_a_wrong_setting_is_named(push: Settings, changes: dict[str, object], named: str) -> None:
    settings = BrokerSettings(namespace="shop", options=replace(push, **changes))
    with pytest.raises(ConfigError, match=named):
        CloudTasksBroker("cloudtasks://p1/here", settings)
