"""What a worker counts of its jobs is what became of them, also when the store of figures was away meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from headway import Headway, Retry, RetryLater
from headway.app import counting
from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.errors import BrokerUnavailableError, PartlyAcceptedError
from headway.figures.values import Counts, Figures
from headway.push import receiver
from headway.runtime.worker import Worker
from tests.unit.push_scene import FakePush, post

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headway.brokers.base import FiguresStore, Store
    from headway.figures.gatherer import Delta

DEADLINE: Final = 20.0
FOREVER: Final = 2**45


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write twenty times a second."""
    monkeypatch.setattr(counting, "PAUSE", 0.05)


def declared(carriers: dict[str, Store]) -> Headway:
    app = Headway("counted", carrier=carriers, concurrency=4)

    @app.task(name="good")
    async def good() -> None:
        await asyncio.sleep(0.02)

    @app.task(name="bad", retry=Retry.after(0.01))
    async def bad() -> None:
        raise ValueError

    asked: list[int] = []

    @app.task(name="later")
    async def later() -> None:
        if not asked:
            asked.append(1)
            raise RetryLater(0.01)

    return app


def routed(tmp_path: Path) -> Headway:
    """Return an app of two carriers, `b` for the queue `other`."""
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("a", "b")}
    app = Headway("counted", carriers=urls, routes={"other": "b"})

    @app.task(name="good")
    async def good() -> None: ...

    return app


async def enqueued_in(tmp_path: Path) -> dict[tuple[str, str], int]:
    """Return by queue and carrier what was counted as enqueued, in the first carrier's store."""
    async with from_url(f"sqlite:///{tmp_path / 'a.db'}", BrokerSettings("counted")) as carrier:
        store = carrier.capabilities.figures
        assert store is not None
        found = await store.figures(0, FOREVER)
    total: Counter[tuple[str, str]] = Counter()
    for row in found.rows:
        total[row.queue, row.carrier] += row.counts.enqueued
    return dict(total)


def store_of(app: Headway) -> FiguresStore:
    store = app.carriers["a"].capabilities.figures
    assert store is not None
    return store


async def work_until(app: Headway, happened: Callable[[], object]) -> None:
    worker = Worker(app)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(DEADLINE):
        while not happened():  # noqa: ASYNC110 - told by several tasks
            await asyncio.sleep(0.01)
    worker.stop()
    await running


async def run_all(app: Headway) -> None:
    """Enqueue some jobs and work until they are terminal."""
    handles = [
        *await app.enqueue_many([app.find_task("good").job() for _ in range(6)]),
        *await app.enqueue_many([app.find_task(name).job() for name in ("bad", "bad", "later")]),
    ]
    worker = Worker(app)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(handle.result() for handle in handles), return_exceptions=True)
    worker.stop()
    await running


async def by_task(store: FiguresStore, carrier: str = "a") -> dict[str, Counts]:
    found = await store.figures(0, FOREVER)
    tasks = {row.task for row in found.rows if row.carrier == carrier}
    return {
        task: Figures(tuple(row for row in found.rows if row.task == task)).of(carriers={carrier})
        for task in tasks
    }


def numbers(counts: Counts) -> tuple[int, ...]:
    return (
        counts.started, counts.succeeded, counts.failed, counts.dead, counts.retried, counts.superseded
    )  # fmt: skip


def check(found: dict[str, Counts]) -> None:
    assert {task: numbers(counts) for task, counts in found.items()} == {
        "good": (6, 6, 0, 0, 0, 0),
        "bad": (4, 0, 4, 2, 2, 0),
        "later": (2, 1, 0, 0, 1, 0),
    }
    good = found["good"]
    assert good.duration.total == good.latency.total == 6
    fastest = good.duration.quantile(0.01)
    assert fastest is not None
    assert 16 <= fastest.ms < 1000
    slowest = good.latency.quantile(1.0)
    assert slowest is not None
    assert slowest.ms < 5000


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a carrier with workers."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return f"sqlite:///{tmp_path / 'a.db'}"


async def test_a_worker_counts_what_became_of_its_jobs(url: str, namespace: str) -> None:
    app = declared({"a": from_url(url, BrokerSettings(namespace))})
    async with app:
        await run_all(app)
        check(await by_task(store_of(app)))


async def test_figures_wait_for_their_store_and_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = declared({"a": from_url(f"sqlite:///{tmp_path / 'a.db'}", BrokerSettings("counted"))})
    lost: list[int] = []
    async with app:
        store = store_of(app)
        whole = store.add_figures

        async def add_figures(delta: Delta) -> None:
            if len(lost) < 4:
                lost.append(delta.number)
                if len(lost) % 2:
                    await whole(delta)  # it was applied, and its answer is lost
                msg = "no answer"
                raise BrokerUnavailableError(msg)
            await whole(delta)

        monkeypatch.setattr(store, "add_figures", add_figures)
        await app.enqueue_many([app.find_task("good").job() for _ in range(3)])
        await work_until(app, lambda: len(lost) == 4)
        found = (await by_task(store))["good"]
        assert (found.started, found.succeeded, found.duration.total) == (3, 3, 3)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_delayed_job_waits_since_it_was_due(tmp_path: Path) -> None:
    app = declared({"a": from_url(f"sqlite:///{tmp_path / 'a.db'}", BrokerSettings("counted"))})
    async with app:
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        handle = await app.find_task("good").options(delay=2.5).enqueue()
        async with asyncio.timeout(DEADLINE):
            await handle.result()
        worker.stop()
        await running
        latency = (await by_task(store_of(app)))["good"].latency.quantile(1.0)
        assert latency is not None
        assert latency.ms < 2000


async def test_a_receiver_counts_what_it_was_sent(tmp_path: Path) -> None:
    """Beside a carrier that keeps figures; by itself Cloud Tasks keeps none."""
    kept = f"sqlite:///{tmp_path / 'a.db'}"
    fake = FakePush()
    app = declared({"push": fake.carrier, "a": from_url(kept, BrokerSettings("counted"))})
    async with receiver(app, handle_sigterm=False) as pushed:
        fake.answer_errors.append(BrokerUnavailableError("once"))
        for task, status in (("good", 200), ("good", 200), ("bad", 200), ("later", 200)):
            assert (await post(pushed, task)).status == status
        fake.superseded = True
        assert (await post(pushed, "good")).status == 200
    async with from_url(kept, BrokerSettings("counted")) as again:
        store = again.capabilities.figures
        assert store is not None
        found = await by_task(store, "push")
    assert {task: numbers(counts) for task, counts in found.items()} == {
        "good": (3, 2, 0, 0, 0, 1),
        "bad": (1, 0, 1, 0, 1, 0),
        "later": (1, 0, 0, 0, 1, 0),
    }
    assert found["good"].latency.total == 3


async def test_each_carrier_of_a_worker_has_figures_of_its_own_in_one_store(tmp_path: Path) -> None:
    carriers = {
        name: from_url(f"sqlite:///{tmp_path / name}.db", BrokerSettings("counted")) for name in ("a", "b")
    }
    app = declared(carriers)
    async with app:
        await app.carriers["b"].enqueue([app.find_task("good").job().new for _ in range(2)])
        await app.carriers["a"].enqueue([app.find_task("good").job().new])
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(DEADLINE):
            while (await store_of(app).figures(0, FOREVER)).of().succeeded < 3:  # noqa: ASYNC110 - two stores
                await asyncio.sleep(0.02)
        worker.stop()
        await running
        store = store_of(app)
        assert (await by_task(store, "a"))["good"].succeeded == 1
        assert (await by_task(store, "b"))["good"].succeeded == 2
        other = carriers["b"].capabilities.figures
        assert other is not None
        assert await other.figures(0, FOREVER) == Figures()


async def test_producers_of_several_carriers_count_what_each_accepted(tmp_path: Path) -> None:
    app = routed(tmp_path)
    good = app.find_task("good")
    async with app:
        await good.enqueue()
        await asyncio.gather(*(good.enqueue() for _ in range(5)))
        await app.enqueue_many([good.job() for _ in range(4)])
        await good.options(queue="other", key="same").enqueue()
        await good.options(queue="other", key="same").enqueue()  # it is there already
        store = store_of(app)
        async with asyncio.timeout(DEADLINE):
            while (await store.figures(0, FOREVER)).of().enqueued < 11:  # noqa: ASYNC110 - written by a loop
                await asyncio.sleep(0.01)
        await good.enqueue()
    assert await enqueued_in(tmp_path) == {("default", "a"): 11, ("other", "b"): 1}


def test_blocking_producers_count_too(tmp_path: Path) -> None:
    app = routed(tmp_path)
    with app.sync:
        for _ in range(5):
            app.find_task("good").sync.enqueue()
    assert asyncio.run(enqueued_in(tmp_path)) == {("default", "a"): 5}


async def test_what_a_carrier_took_of_a_batch_that_failed_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> None:
        msg = "away"
        raise BrokerUnavailableError(msg)

    app = routed(tmp_path)
    good = app.find_task("good")
    async with app:
        monkeypatch.setattr(app.carriers["b"], "enqueue", refuse)
        with pytest.raises(PartlyAcceptedError):
            await app.enqueue_many([good.job(), good.options(queue="other").job(), good.job()])
    assert await enqueued_in(tmp_path) == {("default", "a"): 2}


async def test_a_producer_of_one_carrier_counts_nothing(tmp_path: Path) -> None:
    app = declared({"a": from_url(f"sqlite:///{tmp_path / 'a.db'}", BrokerSettings("counted"))})
    async with app:
        await app.find_task("good").enqueue()
    assert await enqueued_in(tmp_path) == {}
