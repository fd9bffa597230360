"""Recorder, PostgreSQL and a worker are killed while jobs come by the API and run: the records are the carriers' truth.

HEADWAY_LONG_RECORDS=1 is the acceptance: 10,000 jobs, PostgreSQL away for 10 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import func, select

from headway import Headway
from headway.client import Client
from headway.job import JobId
from headway.records import RecordQuery, RecordStore
from headway.records.tables import EXECUTION, JOB
from tests.servers import ApiServer, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headway.job import JobRecord
    from tests.servers import RedisServer

LONG: Final = bool(os.environ.get("HEADWAY_LONG_RECORDS"))
JOBS: Final = 10_000 if LONG else 600
AWAY: Final = 10.0 if LONG else 2.0
DEADLINE: Final = 60 + JOBS / 20
SHOP: Final = """
import asyncio, os, time
from headway import Headway, Retry

app = Headway(
    os.environ["SHOP"], url=os.environ["SHOP_URL"], records=os.environ["SHOP_RECORDS"],
    access=os.environ["SHOP_ACCESS"], lease="2s", concurrency=8, timeout=30,
)


@app.task(name="good", search=["number"])
async def good(number: int) -> None:
    await asyncio.sleep(0.01)


@app.task(name="slow")
async def slow(number: int) -> None:
    await asyncio.sleep(0.3)


@app.task(name="bad", retry=Retry.after(0.05))
async def bad(number: int) -> None:
    raise ValueError(f"no {number}")
"""


class Commands:
    """Commands of Headway as processes of their own."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = os.environ | environ | {"PYTHONPATH": str(folder)}
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start one, and wait until it says that it is ready."""
        command = [
            sys.executable,
            "-c",
            "from headway.cli import main; main()",
            *words,
            "shop_records:app",
            "--json",
        ]
        started = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.running.append(started)
        assert started.stdout is not None
        assert json.loads(started.stdout.readline())
        return started

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.running.remove(process)


@contextmanager
def commands(folder: Path, environ: dict[str, str]) -> Iterator[Commands]:
    (folder / "shop_records.py").write_text(SHOP, encoding="utf-8")
    made = Commands(folder, environ)
    try:
        yield made
    finally:
        for one in made.running:
            one.kill()
            one.communicate()


class Api(ApiServer):
    """Begins while four others do."""

    ready_within = 60.0


def described(record: JobRecord) -> tuple[object, ...]:
    return record.task, record.queue, record.state.value, record.attempt, record.epoch, record.finished_ms


async def states(store: RecordStore) -> Counter[str]:
    async with store.reading() as connection:
        rows = await connection.execute(select(JOB.c.state, func.count()).group_by(JOB.c.state))
        return Counter({str(state): number for state, number in rows})


@pytest.mark.timeout(int(DEADLINE * 3))
async def test_after_every_kill_the_records_are_the_carriers_truth(
    tmp_path: Path, own_redis_server: RedisServer, namespace: str
) -> None:
    with PostgresServer() as postgres:
        environ = {
            "SHOP": namespace,
            "SHOP_URL": own_redis_server.url,
            "SHOP_RECORDS": postgres.url,
            "SHOP_ACCESS": f"sqlite:///{tmp_path}/access.db",
        }
        store = RecordStore(postgres.url, namespace=namespace)
        await store.upgrade()
        app = Headway(namespace, url=own_redis_server.url, records=postgres.url)
        tasks = ["good"] * 17 + ["bad"] * 2 + ["slow"]
        with commands(tmp_path, environ) as run, Api("shop_records:app", tmp_path, environ) as api:
            recorder = await asyncio.to_thread(run.start, "recorder")
            workers = [await asyncio.to_thread(run.start, "worker", "--processes", "1") for _ in range(2)]
            ids: list[JobId] = []
            async with app, store, Client(api.url) as client:

                async def enqueue(first: int, count: int) -> None:
                    for start in range(first, first + count, 50):
                        made = await client.create_many(
                            {"task": tasks[number % 20], "args": [number]}
                            for number in range(start, min(start + 50, first + count))
                        )
                        ids.extend(JobId(one.id) for one in made.jobs if one.id is not None)
                        await asyncio.sleep(0.02)

                quarter = JOBS // 4
                await enqueue(0, quarter)
                run.kill(recorder)
                await enqueue(quarter, quarter)
                recorder = await asyncio.to_thread(run.start, "recorder")
                run.kill(workers.pop())
                postgres.kill()
                await asyncio.gather(enqueue(2 * quarter, quarter), asyncio.sleep(AWAY))
                await asyncio.to_thread(postgres.start)
                run.kill(recorder)
                recorder = await asyncio.to_thread(run.start, "recorder")
                workers.append(await asyncio.to_thread(run.start, "worker", "--processes", "1"))
                await enqueue(3 * quarter, JOBS - 3 * quarter)

                truth: dict[str, JobRecord] = {}
                async with asyncio.timeout(DEADLINE):
                    while True:
                        for start in range(0, len(ids), 1000):
                            some = ids[start : start + 1000]
                            found = await app.carrier.get(some)
                            truth |= {one.id: one for one in found if one is not None}
                        if all(one.state.terminal for one in truth.values()):
                            break
                        await asyncio.sleep(0.5)
                    wanted = Counter(one.state.value for one in truth.values())
                    while await states(store) != wanted:  # noqa: ASYNC110 - the database tells nobody
                        await asyncio.sleep(0.2)

                recorded = [
                    job
                    for start in range(0, len(ids), 1000)
                    for job in await store.get(ids[start : start + 1000])
                ]
                assert len(ids) == len(set(ids)) == JOBS == len(truth)
                assert [
                    None
                    if job is None
                    else (job.task, job.queue, job.state, job.attempt, job.epoch, job.finished_ms)
                    for job in recorded
                ] == [described(truth[one]) for one in ids]
                await check_attempts(store, truth)
                assert [feed.gaps for feed in await store.feeds()] == [0]
                assert (await store.search(RecordQuery(arguments=(("number", 3),)))).jobs[0].id == ids[3]


async def check_attempts(store: RecordStore, truth: dict[str, JobRecord]) -> None:
    """Each lease is there once, and each has an end; the last one is that of its job."""
    async with store.reading() as connection:
        rows = (
            await connection.execute(select(EXECUTION.c.job_id, EXECUTION.c.epoch, EXECUTION.c.outcome))
        ).all()
    outcomes: dict[str, dict[int, str | None]] = {}
    for job_id, epoch, outcome in rows:
        outcomes.setdefault(job_id, {})[epoch] = outcome
    for job_id, record in truth.items():
        assert sorted(outcomes[job_id]) == list(range(1, record.epoch + 1)), job_id
        assert outcomes[job_id][record.epoch] == record.state.value
        before = {outcome for epoch, outcome in outcomes[job_id].items() if epoch < record.epoch}
        assert before <= {"retry", "released", "reclaimed"}, outcomes[job_id]
