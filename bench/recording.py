"""What records cost the recorder, the database and the workers; `bench.records` runs it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from bench.figures import percentile
from bench.procstat import tree_usage
from headway import Headway
from headway.records import Recorder, RecordQuery, RecordStore
from headway.runtime.worker import Worker
from headway.telemetry.of_group import publishing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

_ROUNDS: Final = 3
_TURNS: Final = 12  # short ones: what others do on this machine lasts longer than one
_EVENTS: Final = 3  # of a job: enqueued, started, succeeded


class Spent:
    """CPU of some processes, round by round. Below servers, processes that come and go count; below this one, none.

    What others do on the machine makes a round dearer, never cheaper; so the lower quartile of the rounds is told.
    """

    def __init__(self, watched: Mapping[str, int]) -> None:
        """`watched`: process ids by name."""
        self._watched = dict(watched)
        self._rounds: dict[str, list[float]] = {name: [] for name in watched}

    @contextmanager
    def by(self, jobs: int) -> Iterator[None]:
        """Count what is spent within, for so many jobs."""
        before = self._now()
        yield
        for name, seconds in self._now().items():
            self._rounds[name].append((seconds - before[name]) / jobs * 1e6)

    def per_job(self, name: str) -> float:
        """Return microseconds of CPU."""
        return percentile(self._rounds[name], 0.25)

    def __str__(self) -> str:
        """Microseconds a job, of each process."""
        return ", ".join(f"{name} {self.per_job(name):.0f}" for name in self._rounds) + " us CPU a job"

    def _now(self) -> dict[str, float]:
        return {
            name: time.process_time() if pid == os.getpid() else tree_usage([pid]).cpu
            for name, pid in self._watched.items()
        }


def declared(name: str, redis: str, **settings: Any) -> tuple[Headway, Any]:  # noqa: ANN401 - a task
    """Return an app and its task."""
    app = Headway(name, url=redis, concurrency=100, **settings)

    @app.task(name="job", tags=["bench"], search=["number"])
    async def job(number: int, text: str) -> None: ...

    return app, job


@asynccontextmanager
async def stored(url: str, name: str) -> AsyncIterator[RecordStore]:
    """Make the tables, and open them."""
    store = RecordStore(url, namespace=name)
    await store.upgrade()
    async with store:
        yield store


async def drained(app: Headway, task: Any, jobs: int, spent: Spent | None = None) -> float:  # noqa: ANN401 - a task
    """Enqueue jobs, let one worker run them, and return how many it ran in a second."""
    handles = await app.enqueue_many(task.job(number, "x" * 100) for number in range(jobs))
    with (spent or Spent({})).by(jobs):
        worker = Worker(app)
        began = time.monotonic()
        running = asyncio.create_task(worker.run())
        # Jobs that began last end last, as good as always; whoever is left is waited for below.
        for handle in handles[-200:]:
            await handle.result()
        while not await _all_ended(app):  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(0.01)
        rate = jobs / (time.monotonic() - began)
        worker.stop()
        await running
    return rate


async def _all_ended(app: Headway) -> bool:
    return not any(
        number and not state.terminal
        for queue in await app.queues.counts()
        for state, number in queue.counts.items()
    )


async def record(url: str, redis: str, jobs: int, watched: Mapping[str, int]) -> None:
    """Print how many jobs a second one recorder writes that has fallen behind."""
    app, task = declared("bench-records", redis, records=url)
    rates: list[float] = []
    spent = Spent({"recorder": os.getpid(), **watched})
    async with stored(url, app.name) as store, app:
        await _known(app, store)
        for _ in range(_ROUNDS):
            await drained(app, task, jobs)
            with spent.by(jobs):
                began = time.monotonic()
                async with Recorder(app, store) as recorder:
                    await _recorded(recorder, jobs)
                    rates.append(jobs / (time.monotonic() - began))
        print(
            f"recorder, into {_kind(store)}: {_told(rates)}; {await _result(store, _ROUNDS * jobs)}; {spent}"
        )


async def live(url: str, redis: str, jobs: int, watched: Mapping[str, int]) -> None:
    """Print how many jobs a second are run by a worker and recorded meanwhile, all on this machine."""
    app, task = declared("bench-records", redis, records=url)
    rates: list[float] = []
    spent = Spent({"recorder": os.getpid(), **watched})
    async with stored(url, app.name) as store, app:
        await _known(app, store)
        for _ in range(_ROUNDS):
            async with Recorder(app, store) as recorder:
                await app.enqueue_many(task.job(number, "x" * 100) for number in range(jobs))
                worker = multiprocessing.get_context("spawn").Process(target=_work, args=(redis, url))
                with spent.by(jobs):
                    began = time.monotonic()
                    worker.start()
                    await _recorded(recorder, jobs)
                    rates.append(jobs / (time.monotonic() - began))
                worker.terminate()
                await asyncio.to_thread(worker.join)
        print(
            f"run and recorded, into {_kind(store)}: {_told(rates)}; {await _result(store, _ROUNDS * jobs)}; {spent}"
        )


def _work(redis: str, records: str) -> None:
    app, _ = declared("bench-records", redis, records=records)

    async def run() -> None:
        async with app:
            await Worker(app).run()

    asyncio.run(run())


async def _known(app: Headway, store: RecordStore) -> None:
    """Make the feed: what follows is recorded from its stream."""
    async with Recorder(app, store):
        while not [feed for feed in await store.feeds() if feed.seen_ms]:  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(0.05)


async def _recorded(recorder: Recorder, jobs: int) -> None:
    while recorder.told["main"].recorded < _EVENTS * jobs:  # noqa: ASYNC110 - asked, not told
        await asyncio.sleep(0.02)


async def _result(store: RecordStore, jobs: int) -> str:
    found = await store.count(RecordQuery(states=("succeeded",)), most=jobs)
    gaps = sum(feed.gaps for feed in await store.feeds())
    return f"{found.number:,} of {jobs:,} recorded, gaps: {gaps}"


def _kind(store: RecordStore) -> str:
    return store.place.name.partition(":")[0]


def _told(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} jobs/s, rounds: {', '.join(f'{one:,.0f}' for one in rates)}"


async def cost(url: str, redis: str, jobs: int, watched: Mapping[str, int]) -> None:
    """Print what share of its drain rate, and of its CPU, a worker loses by records, figures and metrics."""
    kinds = ("bare", "figures", "all")
    apps = {
        kind: declared(f"bench-{kind}", redis, **({"records": url} if kind == "all" else {}))
        for kind in kinds
    }
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    spent = {kind: Spent({"worker": os.getpid(), "redis": watched["redis"]}) for kind in kinds}
    async with AsyncExitStack() as stack:
        for app, _ in apps.values():
            await stack.enter_async_context(app)
        for kind in kinds:
            await drained(*apps[kind], jobs // 5)  # what is only done once
        for number in range(_TURNS):
            # In turns, also of who comes first: what others do on this machine meets all of them.
            for kind in kinds if number % 2 else kinds[::-1]:
                with _counting(kind):
                    rates[kind].append(await drained(*apps[kind], jobs, spent[kind]))
    for kind in kinds:
        lost = [1 - having / bare for having, bare in zip(rates[kind], rates["bare"], strict=True)]
        more = spent[kind].per_job("worker") / spent["bare"].per_job("worker") - 1
        print(
            f"{_TITLES[kind]}: {statistics.median(rates[kind]):,.0f} jobs/s, {statistics.median(lost):.1%} less; "
            f"{spent[kind]}, that of the worker {more:.1%} more"
        )


_TITLES: Final = {
    "bare": "a worker without records, figures and metrics",
    "figures": "with figures",
    "all": "with records, figures and metrics",
}


@contextmanager
def _counting(kind: str) -> Iterator[None]:
    """Let workers that are made within count what they do, or nothing: no setting turns figures off."""
    match kind:
        case "bare":
            with patch("headway.runtime.worker.counting", lambda *_: None):
                yield
        case "all":
            with publishing():
                yield
        case _:
            yield
