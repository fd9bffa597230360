"""The records are searched, counted, grouped and read: the same on PostgreSQL and on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headway.errors import ConfigError, RecordsUnavailableError
from headway.job import JobId, new_job_id
from headway.records import Count, RecordQuery, RecordStore
from headway.records.query import first_id
from headway.records.terms import argument_term, error_terms, header_term, key_term, tag_term
from tests.integration.records_place import PLACES, Writer, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import PostgresServer


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place(request, tmp_path)


@pytest.fixture
async def store(url: str, namespace: str) -> AsyncIterator[RecordStore]:
    store = RecordStore(url, namespace=namespace)
    await store.upgrade()
    async with store:
        yield store


async def found(store: RecordStore, query: RecordQuery) -> list[str]:
    """All that match, by pages of two."""
    ids: list[str] = []
    after = None
    while True:
        page = await store.search(query, after=after, limit=2)
        ids += [job.id for job in page.jobs]
        if page.cursor is None:
            return ids
        after = page.cursor


async def test_each_condition_finds_its_jobs_newest_first(store: RecordStore) -> None:
    write = Writer(store)
    ids = [new_job_id() for _ in range(6)]
    write.job(ids[0], task="send", queue="email", state="failed", error_group="g1")
    write.job(ids[1], (tag_term("late"),), task="send", queue="bulk", finished_ms=9_999)
    write.job(ids[2], task="charge", queue="bulk", carrier="push", finished_ms=9_000)
    write.job(ids[3], (tag_term("billing"), argument_term("order.id", 7)), task="charge")
    write.job(ids[4], (tag_term("billing"), header_term("Tenant", "acme"), key_term("k1")), state="running")
    write.job(
        ids[5], (*error_terms("TimeoutError no answer from bank 17"),), state="failed", error_group="g2"
    )
    await write.write()
    newest = ids[::-1]
    for query, wanted in (
        (RecordQuery(), newest),
        (RecordQuery(tasks=("send",)), [ids[n] for n in (5, 4, 1, 0)]),
        (RecordQuery(tasks=("send", "charge"), queues=("bulk",)), [ids[2], ids[1]]),
        (RecordQuery(queues=("bulk", "email"), states=("failed",)), [ids[5], ids[0]]),
        (RecordQuery(states=("failed", "running")), [ids[5], ids[4], ids[0]]),
        (RecordQuery(carriers=("push",)), [ids[2]]),
        (RecordQuery(tags=("billing",)), [ids[4], ids[3]]),
        (RecordQuery(tags=("billing",), headers=(("tenant", "acme"),)), [ids[4]]),
        (RecordQuery(arguments=(("$.order.id", "7"),)), [ids[3]]),
        (RecordQuery(arguments=(("order.id", 7),), states=("failed",)), []),
        (RecordQuery(key="k1"), [ids[4]]),
        (RecordQuery(error="BANK timeouterror"), [ids[5]]),
        (RecordQuery(error="bank nobody"), []),
        (RecordQuery(group="g1"), [ids[0]]),
        (RecordQuery(ids=(ids[1], ids[3], "no id")), [ids[3], ids[1]]),
        (RecordQuery(finished_since_ms=5_000, finished_until_ms=9_999), [ids[2]]),
        (RecordQuery(finished_since_ms=9_500), [ids[1]]),
        (RecordQuery(finished_since_ms=5_000, queues=("bulk",)), [ids[1], ids[2]]),
        (RecordQuery(finished_since_ms=5_000, tags=("late",)), [ids[1]]),
        (RecordQuery(tasks=("nothing",)), []),
    ):
        assert await found(store, query) == wanted, query
        assert sorted(await store.ids(query)) == sorted(wanted), query
        assert await store.count(query) == Count(len(wanted)), query


async def test_the_time_of_enqueueing_bounds_a_search(store: RecordStore) -> None:
    write = Writer(store)
    for instant in (1_000, 2_000, 3_000):
        write.job(first_id(instant))
    await write.write()
    assert await found(store, RecordQuery(since_ms=2_000)) == [first_id(3_000), first_id(2_000)]
    assert await found(store, RecordQuery(until_ms=2_000)) == [first_id(1_000)]
    assert await found(store, RecordQuery(since_ms=1_001, until_ms=2_001, tasks=("send",))) == [
        first_id(2_000)
    ]


async def test_more_than_are_counted_is_said(store: RecordStore) -> None:
    write = Writer(store)
    for _ in range(5):
        write.job(new_job_id())
    await write.write()
    assert await store.count(RecordQuery(), most=3) == Count(3, more=True)
    assert await store.count(RecordQuery(states=("succeeded", "failed")), most=5) == Count(5)


async def test_what_is_written_twice_is_there_once(store: RecordStore) -> None:
    write = Writer(store)
    job = new_job_id()
    for _ in range(2):
        write.job(job, (tag_term("a"),), finished_ms=7)
        write.execution(job, 1, attempt=1, started_ms=1, ended_ms=2, outcome="succeeded")
        write.happening(job, 3, "retried")
        await write.write()
    assert await found(store, RecordQuery(tags=("a",))) == [job]
    timeline = await store.timeline(job)
    assert timeline is not None
    assert len(timeline.executions) == 1
    assert [one.kind for one in timeline.happenings if one.kind == "retried"] == ["retried"]


async def test_the_first_end_of_an_attempt_is_its_end(store: RecordStore) -> None:
    write = Writer(store)
    job = write.job(new_job_id())
    write.execution(job, 1, started_ms=1, worker="w")
    await write.write()
    write.execution(job, 1, attempt=1, ended_ms=5, outcome="retry", error_type="OSError")
    await write.write()
    write.execution(job, 1, ended_ms=9, outcome="cancelled", superseded_ms=8)
    await write.write()
    timeline = await store.timeline(job)
    assert timeline is not None
    (run,) = timeline.executions
    assert (run.started_ms, run.ended_ms, run.outcome, run.attempt) == (1, 5, "retry", 1)
    assert (run.worker, run.error_type, run.superseded_ms) == ("w", "OSError", 8)


async def test_a_moved_job_is_where_it_went_whoever_tells_first(store: RecordStore) -> None:
    there: dict[str, Any] = {"carrier": "push", "epoch": 3, "state": "succeeded"}
    here: dict[str, Any] = {"epoch": 2, "state": "removed", "task": ""}
    for first, second in ((there, here), (here, there)):
        write = Writer(store)
        job = write.job(new_job_id(), epoch=1, state="ready")
        await write.write()
        for fields in (first, second):
            write.job(job, **fields)
            await write.write()
        (found_job,) = await store.get([job])
        assert found_job is not None
        assert (found_job.carrier, found_job.state, found_job.epoch, found_job.task) == (
            "push",
            "succeeded",
            3,
            "send",
        )


async def test_a_job_that_is_removed_after_its_end_keeps_its_state(store: RecordStore) -> None:
    write = Writer(store)
    job = write.job(new_job_id(), state="failed", finished_ms=5, arguments='{"user": 7}', tags='["a"]')
    await write.write()
    write.job(job, state="removed", task="", finished_ms=9, removed_ms=9)
    await write.write()
    (one,) = await store.get([job])
    assert one is not None
    assert (one.state, one.finished_ms, one.removed_ms) == ("failed", 5, 9)
    assert (one.arguments, one.tags, one.queue) == ({"user": 7}, ("a",), "email")


async def test_failures_are_grouped_and_counted(store: RecordStore) -> None:
    write = Writer(store)
    for _ in range(3):
        write.job(new_job_id(), state="failed", error_group="g1")
    write.job(new_job_id(), state="succeeded", error_group="g1")
    write.group("g1", first_ms=5, last_ms=50, message="newer")
    write.group("g2", last_ms=10)
    await write.write()
    write.group("g1", first_ms=2, last_ms=40, message="older")
    await write.write()
    first, second = await store.groups(counted=2)
    assert (first.fingerprint, first.first_ms, first.last_ms, first.message) == ("g1", 2, 50, "newer")
    assert (first.jobs, second.jobs) == (Count(2, more=True), Count(0))
    assert [one.fingerprint for one in await store.groups(since_ms=11)] == ["g1"]


async def test_the_timeline_is_in_the_order_of_time(store: RecordStore) -> None:
    write = Writer(store)
    job = write.job(
        first_id(100),
        state="cancelled",
        epoch=2,
        finished_ms=500,
        reason="enough",
        logs='[[150,"INFO","hm"]]',
    )
    write.execution(
        job,
        1,
        attempt=1,
        started_ms=120,
        ended_ms=200,
        outcome="retry",
        error_type="OSError",
        error_message="no",
    )
    write.execution(job, 2, attempt=2, started_ms=300, ended_ms=400, outcome="reclaimed", superseded_ms=450)
    write.happening(job, 250, "moved", "moved to push")
    await write.write()
    timeline = await store.timeline(job)
    assert timeline is not None
    assert [(one.at_ms, one.kind, one.attempt, one.detail) for one in timeline.happenings] == [
        (100, "enqueued", 0, ""),
        (120, "started", 1, ""),
        (200, "retry", 1, "OSError: no"),
        (250, "moved", 1, "moved to push"),
        (300, "started", 2, ""),
        (400, "reclaimed", 2, ""),
        (450, "superseded", 2, ""),
        (500, "cancelled", 0, "enough"),
    ]
    assert [one.message for one in timeline.logs] == ["hm"]
    assert await store.timeline(JobId("nothing")) is None


async def test_texts_that_a_database_cannot_hold_are_written_all_the_same(store: RecordStore) -> None:
    write = Writer(store)
    job = write.job(
        new_job_id(), reason="a\0b'; DROP TABLE job; --", arguments='{"a":"\\u0000\U0001f600\u202e"}'
    )
    await write.write()
    (one,) = await store.get([job])
    assert one is not None
    assert one.reason.endswith("DROP TABLE job; --")
    assert one.arguments == {"a": "\0\U0001f600\u202e"}


@pytest.mark.parametrize(
    ("query", "message"),
    [({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"after": "x' OR 1=1"}, "cursor")],
)
async def test_what_cannot_be_asked_is_refused(
    store: RecordStore, query: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        await store.search(RecordQuery(), **query)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no word"):
        await store.search(RecordQuery(error="!"))


async def test_tables_are_made_by_upgrade_alone(url: str, namespace: str) -> None:
    store = RecordStore(url, namespace=namespace)
    with pytest.raises(ConfigError, match="headway db upgrade"):
        await store.open()
    assert (await store.upgrade()).before is None
    assert (await store.upgrade()).before == "0001"
    async with store:
        assert await store.feeds() == []
    with pytest.raises(ConfigError, match="not open"):
        await store.feeds()


async def test_a_file_is_that_of_one_app(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"
    await RecordStore(url, namespace="one").upgrade()
    with pytest.raises(ConfigError, match="app 'one'"):
        await RecordStore(url, namespace="two").open()


async def test_apps_in_one_postgres_do_not_see_each_other(
    postgres_server: PostgresServer, namespace: str
) -> None:
    for name in (f"{namespace}-A", f"{namespace}_a"):
        store = RecordStore(postgres_server.url, namespace=name)
        await store.upgrade()
        async with store:
            assert await found(store, RecordQuery()) == []
            write = Writer(store)
            write.job(new_job_id())
            await write.write()


async def test_a_database_that_is_away_is_named_without_its_password(namespace: str) -> None:
    store = RecordStore("postgresql://shop:hunter2@127.0.0.1:1/shop", namespace=namespace)
    with pytest.raises(RecordsUnavailableError, match=r"127\.0\.0\.1:1/shop") as caught:
        await store.open()
    assert "hunter2" not in f"{caught.value!r}{store.place!r}"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://x/y",
        "records.db",
        "sqlite://records.db",
        "sqlite:///:memory:",
        "postgresql://h:port/x",
        "postgresql://h/x?schema=a;b",
    ],
)
def test_urls_that_name_no_records_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="records"):
        RecordStore(url, namespace="shop")
