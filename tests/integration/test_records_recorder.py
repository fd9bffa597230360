"""A recorder writes what becomes of jobs, on each carrier, into each database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headway import Context, Discard, Headway, Retry, RetryLater
from headway.records import RecordQuery, RecordStore, Timeline
from headway.records.recorder import Recorder
from headway.runtime.worker import Worker
from tests.integration.records_place import PLACES, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from headway.records import RecordedJob

DEADLINE = 40.0


@pytest.fixture(params=PLACES)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place(request, tmp_path)


@pytest.fixture(params=["sqlite", "redis"])
def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    url: str = request.getfixturevalue("redis_url")
    return url


def declared(name: str, records: str, **settings: Any) -> Headway:
    app = Headway(name, records=records, concurrency=8, **settings)

    @app.task(
        name="charge",
        queue="pay",
        tags=["billing"],
        search=["order.id"],
        hide=["card"],
        retry=Retry.after(0.01),
    )
    async def charge(order: dict[str, int], card: str) -> None:
        msg = f"no bank for order {order['id']}"
        raise ConnectionError(msg)

    @app.task(name="send", retry=Retry.after(0.01))
    async def send(ctx: Context, user: int) -> str:
        ctx.log(f"sending to {user}")
        await ctx.progress(0.5, "half")
        if ctx.attempt == 1 and user == 2:
            raise TimeoutError
        return "sent"

    asked: list[int] = []

    @app.task(name="later")
    async def later() -> None:
        if not asked:
            asked.append(1)
            raise RetryLater(0.01)
        reason = "not wanted"
        raise Discard(reason)

    @app.task(name="secret", hide=True)
    async def secret(password: str) -> None: ...

    return app


@asynccontextmanager
async def recording(app: Headway) -> AsyncIterator[RecordStore]:
    """The app is open, and recorded."""
    store = RecordStore(app.settings.records, namespace=app.name)
    await store.upgrade()
    async with store, app, Recorder(app, store):
        async with asyncio.timeout(DEADLINE):
            while len([feed for feed in await store.feeds() if feed.seen_ms]) < len(app.carriers):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)
        yield store


@asynccontextmanager
async def working(app: Headway) -> AsyncIterator[None]:
    worker = asyncio.create_task(Worker(app).run())
    try:
        yield
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def timelines(
    store: RecordStore, ids: Sequence[str], until: Callable[[RecordedJob], bool]
) -> list[Timeline]:
    """Wait until each job is recorded so."""
    found: list[Timeline] = []
    async with asyncio.timeout(DEADLINE):
        for job_id in ids:
            while True:
                timeline = await store.timeline(job_id)  # type: ignore[arg-type]
                if timeline is not None and until(timeline.job) and complete(timeline):
                    found.append(timeline)
                    break
                await asyncio.sleep(0.02)
    return found


def complete(timeline: Timeline) -> bool:
    """Tell whether the end of a job's last attempt is recorded: its state may be ahead of its events."""
    job = timeline.job
    return job.state not in {"succeeded", "failed", "cancelled"} or any(
        run.epoch == job.epoch and run.outcome for run in timeline.executions
    )


def ended(job: RecordedJob) -> bool:
    return job.finished_ms is not None


async def test_a_job_is_recorded_with_its_attempts_errors_log_and_call(
    carrier: str, records: str, namespace: str
) -> None:
    app = declared(namespace, records, url=carrier)
    charge, send, later, secret = (app.find_task(name) for name in ("charge", "send", "later", "secret"))
    async with recording(app) as store, working(app):
        jobs = [
            await charge.options(headers={"tenant": "acme"}, key="k7").enqueue({"id": 7}, card="4111"),
            await send.enqueue(2),
            await later.enqueue(),
            await secret.enqueue("hunter2"),
        ]
        charged, sent, put_off, hidden = await timelines(store, [job.id for job in jobs], ended)

        job = charged.job
        assert (job.task, job.queue, job.carrier, job.state, job.attempt) == (
            "charge",
            "pay",
            "main",
            "failed",
            2,
        )
        assert (job.arguments, job.headers, job.tags, job.key) == (
            {"order": {"id": 7}, "card": "***"},
            {"tenant": "acme"},
            ("billing",),
            "k7",
        )
        assert (job.error_type, job.error_message) == ("ConnectionError", "no bank for order 7")
        assert [(run.attempt, run.epoch, run.outcome, run.error_message) for run in charged.executions] == [
            (1, 1, "retry", "no bank for order 7"),
            (2, 2, "failed", "no bank for order 7"),
        ]
        assert all("in charge" in (run.error_traceback or "") for run in charged.executions)
        assert [one.kind for one in charged.happenings] == [
            "enqueued",
            "started",
            "retry",
            "started",
            "failed",
        ]
        assert all(run.worker and run.started_ms and run.ended_ms for run in charged.executions)

        assert (sent.job.state, sent.job.progress, sent.job.progress_message) == ("succeeded", 0.5, "half")
        assert "sending to 2" in [line.message for line in sent.logs]
        assert [(run.attempt, run.outcome) for run in sent.executions] == [(1, "retry"), (2, "succeeded")]

        assert (put_off.job.state, put_off.job.reason) == ("cancelled", "discarded: not wanted")
        assert [(run.attempt, run.outcome, run.error_type) for run in put_off.executions] == [
            (1, "retry", None),
            (1, "cancelled", None),
        ]
        assert hidden.job.arguments == {"password": "***"}

        for query in (
            RecordQuery(arguments=(("order.id", "7"),)),
            RecordQuery(tags=("billing",)),
            RecordQuery(headers=(("tenant", "acme"),)),
            RecordQuery(key="k7"),
            RecordQuery(error="bank connectionerror"),
            RecordQuery(group=job.error_group),
        ):
            assert [one.id for one in (await store.search(query)).jobs] == [job.id], query
        for query in (
            RecordQuery(arguments=(("card", "4111"),)),
            RecordQuery(arguments=(("password", "hunter2"),)),
        ):
            assert (await store.search(query)).jobs == ()
        groups = {group.type: group for group in await store.groups()}
        assert groups.keys() == {"ConnectionError", "TimeoutError"}
        assert groups["ConnectionError"].place.endswith("test_records_recorder.py:charge")
        assert groups["ConnectionError"].jobs.number == 1


async def test_retries_by_hand_and_removals_are_on_the_timeline(
    carrier: str, records: str, namespace: str
) -> None:
    app = declared(namespace, records, url=carrier)
    async with recording(app) as store:
        async with working(app):
            job = await app.find_task("charge").enqueue({"id": 1}, card="")
            await timelines(store, [job.id], ended)
        assert await app.jobs.retry(job) == [True]
        (again,) = await timelines(store, [job.id], lambda one: one.state == "ready")
        assert again.job.finished_ms is None
        assert await app.jobs.remove(job) == [True]
        (removed,) = await timelines(store, [job.id], lambda one: one.removed_ms is not None)
        assert removed.job.state == "removed"
        assert [one.kind for one in removed.happenings][-2:] == ["retried", "removed"]
        assert len(removed.executions) == 2


async def test_jobs_of_before_the_recorder_are_recorded(carrier: str, records: str, namespace: str) -> None:
    app = declared(namespace, records, url=carrier)
    async with app:
        async with working(app):
            failed = await app.find_task("charge").enqueue({"id": 1}, card="")
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(failed.result(), return_exceptions=True)
        waiting = await app.find_task("send").enqueue(1)
    async with recording(app) as store:
        before, still = await timelines(store, [failed.id, waiting.id], lambda _: True)
    assert (before.job.state, still.job.state) == ("failed", "ready")
    assert [(run.attempt, run.outcome, run.error_type) for run in before.executions] == [
        (1, "retry", "ConnectionError"),
        (2, "failed", "ConnectionError"),
    ]
    assert still.executions == ()


async def test_nothing_is_left_out_between_two_recorders(carrier: str, records: str, namespace: str) -> None:
    app = declared(namespace, records, url=carrier)
    send = app.find_task("send")
    async with app:
        first: list[str] = []
        async with working(app):
            async with recording(app) as store:
                first += [(await send.enqueue(1)).id for _ in range(5)]
                await timelines(store, first, lambda _: True)
            second = [(await send.enqueue(1)).id for _ in range(5)]
            await asyncio.gather(*(app.job(one).result(timeout=DEADLINE) for one in second))
        async with recording(app) as store:
            all_of = await timelines(store, [*first, *second], ended)
            (feed,) = await store.feeds()
    assert [[(run.attempt, run.outcome) for run in one.executions] for one in all_of] == [
        [(1, "succeeded")]
    ] * 10
    assert [[line.message for line in one.logs] for one in all_of] == [["sending to 1"]] * 10
    assert feed.gaps == 0


async def test_two_recorders_write_everything_once(carrier: str, records: str, namespace: str) -> None:
    app = declared(namespace, records, url=carrier)
    async with recording(app) as store, Recorder(app, store) as other, working(app):
        ids = [(await app.find_task("send").enqueue(1)).id for _ in range(10)]
        found = await timelines(store, ids, ended)
        assert [len(one.executions) for one in found] == [1] * 10
        assert other.told["main"].recorded == 0
        assert not other.told["main"].holding


async def test_a_moved_job_has_one_timeline(
    tmp_path: Path, redis_url: str, records: str, namespace: str
) -> None:
    carriers = {"file": f"sqlite:///{tmp_path / 'jobs.db'}", "redis": redis_url}
    app = declared(namespace, records, carriers=carriers, routes={"pay": "file"})
    async with recording(app) as store:
        job = await app.find_task("charge").enqueue({"id": 1}, card="")
        await timelines(store, [job.id], lambda one: one.carrier == "file")
        source, target = app.carriers["file"], app.carriers["redis"]
        assert source.capabilities.mover is not None
        (record,) = await source.capabilities.mover.withdraw([job.id], "moved to redis")
        assert record is not None
        await target.enqueue([record.as_new()])
        await source.remove([job.id])
        async with working(app):
            (moved,) = await timelines(store, [job.id], lambda one: one.carrier == "redis" and ended(one))
            async with asyncio.timeout(DEADLINE):
                while "moved" not in {one.kind for one in moved.happenings}:  # the other carrier's events
                    await asyncio.sleep(0.02)
                    (moved,) = await timelines(store, [job.id], ended)
    assert moved.job.state == "failed"
    told = [
        (one.kind, one.carrier, one.detail) for one in moved.happenings if one.kind in {"enqueued", "moved"}
    ]
    assert sorted(told[1:]) == [("enqueued", "redis", ""), ("moved", "file", "moved to redis")]
    assert told[0] == ("enqueued", "file", "")
    assert [(run.carrier, run.attempt, run.outcome) for run in moved.executions] == [
        ("redis", 1, "retry"),
        ("redis", 2, "failed"),
    ]
