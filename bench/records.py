"""What records cost, and how fast jobs are found in them.

`python -m bench.records record|live|cost|search [--jobs N] [--sqlite]`

`record`: a worker drains jobs of a Redis while nobody records; then one recorder writes their lives into a fresh
PostgreSQL: jobs per second. `live`: the recorder records while a worker in another process drains. `cost`: workers
drain with and without records, figures and metrics, in turns. All three also say how much CPU a job cost each process,
since that differs less than the rate when others use the machine. `search`: a PostgreSQL is filled as a recorder does,
and each filter is asked for pages: p95. PostgreSQL has its default settings, but for `fsync`, which is off.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from bench.figures import percentile
from bench.recording import cost, live, record, stored
from headway.clock import SystemClock
from headway.job import id_instant_ms
from headway.records import RecordQuery
from headway.records.query import first_id
from headway.records.terms import argument_term, error_terms, header_term, tag_term
from headway.records.writing import write
from headway.records.written import ExecutionRow, GroupRow, JobRow, Rows, TermRow
from tests.servers import PostgresServer, RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    parser.add_argument("what", choices=("record", "live", "cost", "search"))
    parser.add_argument("--jobs", type=int, help="[default: 30,000; of search 1,000,000]")
    parser.add_argument(
        "--sqlite", action="store_true", help="records in a SQLite file instead of PostgreSQL"
    )
    given = parser.parse_args()
    jobs: int = given.jobs or (1_000_000 if given.what == "search" else 30_000)
    with ExitStack() as stack:
        watched: dict[str, int] = {}
        if given.sqlite:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/records.db"
        else:
            postgres = stack.enter_context(PostgresServer(options={"shared_buffers": "128MB"}))
            url = postgres.url
            watched["postgresql"] = postgres.pid
        if given.what == "search":
            asyncio.run(search(url, jobs))
            return
        redis = stack.enter_context(RedisServer())
        watched["redis"] = redis.pid
        bench = {"record": record, "live": live, "cost": cost}[given.what]
        asyncio.run(bench(url, redis.url, jobs, watched))


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
