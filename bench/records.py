"""What records cost, and how fast jobs are found in them.

`python -m bench.records record|search|cost [--jobs N] [--sqlite]`

`record`: a worker drains jobs of a Redis while nobody records; then one recorder writes their lives into a fresh
PostgreSQL: jobs per second. `search`: a PostgreSQL is filled as a recorder does, and each filter is asked for pages:
p95. `cost`: workers drain with and without records, figures and metrics, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from bench.figures import percentile
from headway import Headway
from headway.clock import SystemClock
from headway.job import id_instant_ms
from headway.records import Recorder, RecordQuery, RecordStore
from headway.records.query import first_id
from headway.records.terms import argument_term, error_terms, header_term, tag_term
from headway.records.writing import write
from headway.records.written import ExecutionRow, GroupRow, JobRow, Rows, TermRow
from headway.runtime.worker import Worker
from tests.servers import PostgresServer, RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_ROUNDS: Final = 3
_DAY_MS: Final = 24 * 3600 * 1000
_LOOKS: Final = 60
_BATCH: Final = 2000
_MESSAGES: Final = (
    "no answer from bank {}",
    "user {} has no address",
    "disk {} is full",
    "order {} was paid twice",
)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("record", "search", "cost"))
    parser.add_argument("--jobs", type=int, help="[default: 30,000; of search 1,000,000]")
    parser.add_argument(
        "--sqlite", action="store_true", help="records in a SQLite file instead of PostgreSQL"
    )
    given = parser.parse_args()
    jobs: int = given.jobs or (1_000_000 if given.what == "search" else 30_000)
    with ExitStack() as stack:
        if given.sqlite:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/records.db"
        else:
            url = stack.enter_context(PostgresServer()).url
        if given.what == "search":
            asyncio.run(search(url, jobs))
        else:
            redis = stack.enter_context(RedisServer())
            asyncio.run({"record": record, "cost": cost}[given.what](url, redis.url, jobs))


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


async def drained(app: Headway, task: Any, jobs: int) -> float:  # noqa: ANN401 - a task
    """Enqueue jobs, let one worker run them, and return how many it ran in a second."""
    handles = await app.enqueue_many(task.job(number, "x" * 100) for number in range(jobs))
    worker = Worker(app)
    began = time.monotonic()
    running = asyncio.create_task(worker.run())
    # Jobs that began last end last, as good as always; whoever is left is waited for below.
    for handle in handles[-200:]:
        await handle.result()
    while any(counts.counts for counts in await app.queues.counts() if _unfinished(counts.counts)):  # noqa: ASYNC110 - asked, not told
        await asyncio.sleep(0.01)
    rate = jobs / (time.monotonic() - began)
    worker.stop()
    await running
    return rate


def _unfinished(counts: Any) -> bool:  # noqa: ANN401 - by state
    return any(not state.terminal and number for state, number in counts.items())


# --- record ---------------------------------------------------------------------------------------------------------


async def record(url: str, redis: str, jobs: int) -> None:
    """Print how many jobs a second one recorder writes."""
    app, task = declared("bench-records", redis, records=url)
    rates: list[float] = []
    async with stored(url, app.name) as store, app:
        async with Recorder(app, store):  # makes the feed: what follows is recorded from its stream
            while not [feed for feed in await store.feeds() if feed.seen_ms]:  # noqa: ASYNC110 - asked, not told
                await asyncio.sleep(0.05)
        for _ in range(_ROUNDS):
            await drained(app, task, jobs)
            began = time.monotonic()
            async with Recorder(app, store) as recorder:
                # Enqueued, started, succeeded.
                while recorder.told["main"].recorded < 3 * jobs:  # noqa: ASYNC110 - asked, not told
                    await asyncio.sleep(0.02)
                rates.append(jobs / (time.monotonic() - began))
        found = await store.count(RecordQuery(states=("succeeded",)), most=_ROUNDS * jobs)
        gaps = sum(feed.gaps for feed in await store.feeds())
    print(
        f"recorder, into {store.place.name.partition(':')[0]}: {statistics.median(rates):,.0f} jobs/s, rounds: "
        f"{', '.join(f'{one:,.0f}' for one in rates)}; {found.number:,} recorded; gaps: {gaps}"
    )


# --- cost -----------------------------------------------------------------------------------------------------------


async def cost(url: str, redis: str, jobs: int) -> None:
    """Print what share of its drain rate a worker loses."""
    plain, plain_task = declared("bench-plain", redis)
    watched, watched_task = declared("bench-watched", redis, records=url)
    rates: dict[str, list[float]] = {"without": [], "with": []}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(plain)
        await stack.enter_async_context(watched)
        for _ in range(_ROUNDS * 2):
            rates["without"].append(await drained(plain, plain_task, jobs))
            rates["with"].append(await drained(watched, watched_task, jobs))
    quotients = [
        1 - having / lacking for having, lacking in zip(rates["with"], rates["without"], strict=True)
    ]
    print(
        f"a worker drains {statistics.median(rates['without']):,.0f} jobs/s without records and "
        f"{statistics.median(rates['with']):,.0f} with: {statistics.median(quotients):.1%} less"
    )


# --- search ---------------------------------------------------------------------------------------------------------


async def search(url: str, jobs: int) -> None:
    """Print the p95 of pages of 100 by each filter."""
    rng = random.Random(7)
    now = SystemClock().now_ms()
    async with stored(url, "bench-search") as store:
        began = time.monotonic()
        for rows in _filled(rng, now, jobs):
            async with store.writing() as connection:
                await write(connection, rows)
        print(
            f"{jobs:,} jobs written in {time.monotonic() - began:.0f} s: {jobs / (time.monotonic() - began):,.0f} jobs/s"  # noqa: E501 - a row of a table
        )
        for name, queries in _filters(rng, now).items():
            took: list[float] = []
            found = 0
            for query in queries:
                after = None if len(took) % 2 else first_id(now - rng.randrange(_DAY_MS))
                if after is not None and query.finished_until_ms is not None:
                    after = f"{query.finished_until_ms - 1_800_000}.{after}"
                since = time.perf_counter()
                found += len((await store.search(query, after=after)).jobs)
                took.append((time.perf_counter() - since) * 1000)
            print(
                f"{name:28} p50 {percentile(took, 0.5):6.1f} ms  p95 {percentile(took, 0.95):6.1f} ms  {found / len(took):5.1f} rows a page"  # noqa: E501 - a row of a table
            )
        for name, ask in (
            ("groups", store.groups),
            ("count of all that match", lambda: store.count(RecordQuery(states=("succeeded",)))),
        ):
            took = []
            for _ in range(20):
                since = time.perf_counter()
                await ask()
                took.append((time.perf_counter() - since) * 1000)
            print(f"{name:28} p50 {percentile(took, 0.5):6.1f} ms  p95 {percentile(took, 0.95):6.1f} ms")


def _filters(rng: random.Random, now: int) -> dict[str, list[RecordQuery]]:
    def many(make: Any) -> list[RecordQuery]:  # noqa: ANN401 - of each
        return [make() for _ in range(_LOOKS)]

    return {
        "none": many(RecordQuery),
        "task": many(lambda: RecordQuery(tasks=(f"task{rng.randrange(50)}",))),
        "tasks, three": many(lambda: RecordQuery(tasks=tuple(f"task{rng.randrange(50)}" for _ in range(3)))),
        "queue": many(lambda: RecordQuery(queues=(f"queue{rng.randrange(20)}",))),
        "carrier": many(lambda: RecordQuery(carriers=(rng.choice(("main", "push")),))),
        "state, rare": many(lambda: RecordQuery(states=(rng.choice(("failed", "cancelled")),))),
        "state, usual": many(lambda: RecordQuery(states=("succeeded",))),
        "task and rare state": many(
            lambda: RecordQuery(tasks=(f"task{rng.randrange(50)}",), states=("cancelled",))
        ),
        "tag, rare": many(lambda: RecordQuery(tags=(f"tag{rng.randrange(50)}",))),
        "header, one of 1,000": many(lambda: RecordQuery(headers=(("tenant", f"t{rng.randrange(1000)}"),))),
        "argument, one of 100,000": many(lambda: RecordQuery(arguments=(("user", rng.randrange(100_000)),))),
        "argument, half of all": many(
            lambda: RecordQuery(arguments=(("plan", rng.choice(("free", "paid"))),))
        ),
        "two arguments": many(
            lambda: RecordQuery(arguments=(("user", rng.randrange(100_000)), ("plan", "free")))
        ),
        "words of the error": many(
            lambda: RecordQuery(error=rng.choice(("answer bank", "disk full", "address", "paid twice")))
        ),
        "error group": many(lambda: RecordQuery(group=f"group{rng.randrange(40)}")),
        "enqueued in an hour": many(lambda: _hour(rng, now, "")),
        "ended in an hour": many(lambda: _hour(rng, now, "finished_")),
        "ended in an hour, failed": many(lambda: _hour(rng, now, "finished_", states=("failed",))),
    }


def _hour(rng: random.Random, now: int, what: str, **more: Any) -> RecordQuery:  # noqa: ANN401 - conditions
    begin = now - rng.randrange(3_600_000, _DAY_MS)
    return RecordQuery(**{f"{what}since_ms": begin, f"{what}until_ms": begin + 3_600_000, **more})


def _filled(rng: random.Random, now: int, jobs: int) -> Iterator[Rows]:
    """Make a day of jobs."""
    step = (_DAY_MS << 52) // jobs
    start = (now - _DAY_MS) << 52
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    rows = Rows()
    for number in range(jobs):
        value = start + number * step
        job_id = "".join(digits[(value >> shift) & 31] for shift in range(95, -1, -5))
        _add(rows, rng, job_id)
        if len(rows.jobs) == _BATCH:
            yield rows
            rows = Rows()
    yield rows


def _add(rows: Rows, rng: random.Random, job_id: str) -> None:
    at = id_instant_ms(job_id)
    state = rng.choices(("succeeded", "failed", "ready", "cancelled"), (940, 40, 10, 10))[0]
    group, message = None, None
    user, plan, tenant = rng.randrange(100_000), rng.choice(("free", "paid")), rng.randrange(1000)
    task = rng.randrange(50)
    words = [
        tag_term(f"tag{task}"),
        argument_term("user", user),
        argument_term("plan", plan),
        header_term("tenant", f"t{tenant}"),
    ]
    if state == "failed":
        kind = rng.randrange(40)
        group, message = f"group{kind}", _MESSAGES[kind % len(_MESSAGES)].format(user)
        words += error_terms(f"OSError {message}")
        rows.groups[group] = GroupRow(
            fingerprint=group, type="OSError", place="a", message=message, first_ms=at, last_ms=at
        )
    ended = None if state == "ready" else at + rng.randrange(60_000)
    rows.jobs[job_id] = JobRow(
        id=job_id, task=f"task{task}", queue=f"queue{task % 20}", carrier="main" if user % 4 else "push", state=state,
        attempt=1, epoch=1, started_ms=at + 5, finished_ms=ended, worker="host:1",
        arguments=f'{{"user":{user},"plan":"{plan}","text":"{"x" * 100}"}}', headers=f'{{"tenant":"t{tenant}"}}',
        tags=f'["tag{task}"]', error_type=group and "OSError", error_message=message, error_group=group, first_carrier="main",  # noqa: E501 - a row of a table
    )  # fmt: skip
    rows.executions[job_id, 1] = ExecutionRow(
        job_id=job_id, epoch=1, carrier="main", attempt=1, started_ms=at + 5, ended_ms=ended, outcome=state
    )
    rows.terms += [TermRow(one, job_id) for one in words]


if __name__ == "__main__":
    main()
