"""The SQLite file itself: versions, damage, a full disk, no permission, locks, and what stands in it."""

# ruff: noqa: ASYNC240 - tests look at small files, nothing else runs on their loop

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import BrokerSettings, JobQuery, LogLine, QueueWant, Report, ScheduleRecord
from headway.brokers.sqlite import manage
from headway.brokers.sqlite.broker import SqliteBroker
from headway.brokers.sqlite.file import connection, schema
from headway.brokers.sqlite.location import parse
from headway.brokers.url import from_url
from headway.cli.doctor.sqlite_probe import sqlite_facts
from headway.errors import BrokerRefusedError, BrokerUnavailableError, ConfigError
from headway.job import Fire, JobId, JobState, NewJob, Succeeded, UniqueLock, UniqueMode, WorkerId, new_job_id
from headway.testing import FakeClock
from headway.text import redact
from tests.conformance.scene import DAY, HOUR, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headway.db"


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[SqliteBroker]:
    async with SqliteBroker(f"sqlite:///{path}?timeout=0.1", BrokerSettings("app")) as opened:
        yield opened


@pytest.fixture
def other(path: Path, broker: SqliteBroker) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the file."""
    db = sqlite3.connect(path, isolation_level=None)
    yield db
    db.close()


def _job(queue: str = "q", **rest: Any) -> NewJob:
    return NewJob(new_job_id(), "shop.pay", queue, rest.pop("payload", b"x"), **rest)


async def _claim(broker: SqliteBroker, limit: int = 100) -> list[JobId]:
    claimed = await broker.claim([QueueWant("q", limit)], worker=WorkerId("w"), limit=limit, lease_ms=60_000)
    return [delivery.lease.job_id for delivery in claimed.deliveries]


# -- URLs --


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "names no file|not a SQLite URL"),
        ("sqlite:///", "names no file"),
        ("sqlite://host/x.db", "not a SQLite URL"),
        ("sqlite:///:memory:", "cannot be shared"),
        ("sqlite:///x.db?timeout=0", "timeout must be"),
        ("sqlite:///x.db?timeout=soon", "timeout must be"),
        ("sqlite:///x.db?synchronous=off", "normal or full"),
        ("sqlite:///x.db?mode=ro", "unknown option 'mode'"),
    ],
)
def test_a_wrong_url_is_refused_by_name(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        from_url(url, BrokerSettings("app"))


def test_urls_name_relative_and_absolute_files() -> None:
    assert parse("sqlite:///a%20b/x.db").path == Path("a b/x.db")
    assert parse("sqlite:////var/x.db?timeout=2.5&synchronous=full") == parse(
        "sqlite:////var/x.db?synchronous=FULL&timeout=2.5"
    )
    assert parse("sqlite:////var/x.db").path == Path("/var/x.db")


def test_an_unknown_scheme_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match="unknown scheme 'amqp'") as raised:
        from_url("amqp://user:hush@host/", BrokerSettings("app"))
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hush@h:1/0", "redis://:***@h:1/0"),
        ("redis://u:hu@sh@h", "redis://u:***@h"),
        ("redis://u:hu/sh@h/0", "redis://u:***@h/0"),
        ("redis://h/0?password=hush&db=1", "redis://h/0?password=***"),
        ("redis+sentinel://u:hush@a:1,b:2/m/0", "redis+sentinel://u:***@a:1,b:2/m/0"),
        ("sqlite:////var/x.db", "sqlite:////var/x.db"),
        ("no url", "no url"),
    ],
)
def test_passwords_are_redacted(url: str, shown: str) -> None:
    assert redact(url) == shown


# -- versions and origin --


async def test_a_new_file_is_in_wal_mode_with_our_version(other: sqlite3.Connection) -> None:
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert other.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert other.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)


@pytest.mark.parametrize(("option", "level"), [("normal", 1), ("full", 2)])
async def test_synchronous_is_as_the_url_says(path: Path, option: str, level: int) -> None:
    db = connection.connect(parse(f"sqlite:///{path}?synchronous={option}"))
    try:
        assert db.execute("PRAGMA synchronous").fetchone() == (level,)
    finally:
        db.close()


async def test_a_file_of_a_newer_headway_is_refused_and_not_touched(path: Path) -> None:
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")):
        pass
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    db.close()
    with pytest.raises(ConfigError, match=f"version {schema.VERSION + 1}.*upgrade Headway"):
        await SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")).open()


async def test_an_older_file_is_brought_up_to_date_with_its_jobs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
        await broker.enqueue([_job()])
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE later (a); INSERT INTO later VALUES (7);")
    )
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
        assert len(await _claim(broker)) == 1
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert db.execute("SELECT a FROM later").fetchone() == (7,)
    db.close()


@pytest.mark.parametrize("version", range(1, schema.VERSION))
async def test_a_file_of_each_earlier_version_is_brought_up_to_date(path: Path, version: int) -> None:
    db = sqlite3.connect(path)
    for script in schema.MIGRATIONS[:version]:
        db.executescript(script)
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("INSERT INTO app (id, name) VALUES (1, 'app')")
    db.execute(
        "INSERT INTO job (app, id, state, queue, priority, pos, since_ms, task, payload, lock) "
        "VALUES (1, 'one', 1, 'q', 5, 1, 0, 't', x'00', 'u')"
    )
    db.execute("INSERT INTO lock (app, name, holder, since_ms, until_ms) VALUES (1, 'u', 'one', 0, 0)")
    db.commit()
    db.close()
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
        [record] = await broker.get([JobId("one")])
        assert record is not None
        assert record.state is JobState.READY
        assert await broker.write_control("routes", b"x", expected=0) == 1
        assert await broker.hold_control("c", "one", 1000) is not None
        assert await _claim(broker) == ["one"]


async def test_a_failed_migration_leaves_the_old_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")):
        pass
    before = schema.VERSION
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE later (a); INSERT INTO nowhere VALUES (7);")
    )
    monkeypatch.setattr(schema, "VERSION", before + 1)
    with pytest.raises(BrokerRefusedError, match="nowhere"):
        await SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")).open()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (before,)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone() == (0,)
    db.close()


async def test_another_applications_database_is_refused(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE orders (id INTEGER)")
    db.close()
    with pytest.raises(ConfigError, match="another application's database"):
        await SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")).open()


def test_a_sqlite_without_returning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigError, match=r"needs SQLite 3\.35"):
        from_url("sqlite:///x.db", BrokerSettings("app"))


# -- refusals --


async def test_a_full_disk_refuses_the_whole_call_and_nothing_else(broker: SqliteBroker) -> None:
    await broker.enqueue([_job()])

    def limit(tx: Any, pages: int) -> None:
        used = tx.db.execute("PRAGMA page_count").fetchone()[0]
        tx.db.execute(f"PRAGMA max_page_count = {used + pages}")

    await broker._write(lambda tx: limit(tx, 8))
    big = [_job(payload=b"x" * 5000) for _ in range(50)]
    with pytest.raises(BrokerRefusedError, match="disk is full"):
        await broker.enqueue([_job(), *big])
    [counts] = await broker.counts()
    assert counts.counts == {JobState.READY: 1}
    await broker.enqueue([_job()])
    await broker._write(lambda tx: limit(tx, 10_000))
    await broker.enqueue(big)
    assert len(await _claim(broker)) == 52


async def test_a_full_disk_in_one_call_leaves_its_neighbours_in_the_same_commit(broker: SqliteBroker) -> None:
    await broker._write(
        lambda tx: tx.db.execute(
            f"PRAGMA max_page_count = {tx.db.execute('PRAGMA page_count').fetchone()[0] + 8}"
        ).fetchone()
    )
    answers = await asyncio.gather(
        broker.enqueue([_job()]),
        broker.enqueue([_job(payload=b"x" * 5000) for _ in range(50)]),
        broker.enqueue([_job()]),
        return_exceptions=True,
    )
    assert isinstance(answers[1], BrokerRefusedError)
    accepted = sum(not isinstance(answer, BaseException) for answer in answers)
    [counts] = await broker.counts(["q"])
    assert counts.counts.get(JobState.READY, 0) == accepted


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that this process may enter but not write: root may write anywhere, so it becomes nobody for the test."""
    folder = Path(tempfile.mkdtemp(prefix="headway-"))
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


async def test_a_file_without_write_permission_is_refused(foreign_folder: Path) -> None:
    path = foreign_folder / "headway.db"
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")):
        pass
    path.chmod(0o444)
    foreign_folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        with pytest.raises(BrokerRefusedError, match=r"permission|cannot be written|may be written"):
            async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
                await broker.enqueue([_job()])
    finally:
        if root:
            os.seteuid(0)


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerRefusedError, match="check that its folder exists"):
        await SqliteBroker(f"sqlite:///{tmp_path / 'no' / 'x.db'}", BrokerSettings("app")).open()


async def test_a_file_that_is_no_database_is_refused_and_kept(path: Path) -> None:
    path.write_bytes(b"these are not the jobs you are looking for\n" * 200)
    with pytest.raises(BrokerRefusedError, match="not a SQLite database"):
        await SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")).open()
    assert path.read_bytes().startswith(b"these are not")


async def test_a_damaged_file_is_refused_by_name(path: Path) -> None:
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
        await broker.enqueue([_job(payload=b"x" * 1000) for _ in range(500)])
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(BrokerRefusedError, match=r"damaged|integrity_check"):
        async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
            await _claim(broker)


async def test_a_value_that_sqlite_cannot_hold_is_refused_alone(broker: SqliteBroker) -> None:
    answers = await asyncio.gather(
        broker.enqueue([_job()]),
        broker.enqueue([_job(), _job("q\ud800")]),
        broker.enqueue([_job(), _job(due_ms=2**70)]),
        broker.enqueue([_job()]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [list, BrokerRefusedError, BrokerRefusedError, list]
    assert len(await _claim(broker)) == 2


# -- locks, cancellation, closing --


async def test_a_locked_file_is_unavailable_and_serves_again(
    broker: SqliteBroker, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BrokerUnavailableError, match=r"locked for 0\.1 s.*timeout="):
        await broker.enqueue([_job()])
    assert await broker.get([new_job_id()]) == [None]  # reading goes on
    other.execute("ROLLBACK")
    await broker.enqueue([_job()])
    assert len(await _claim(broker)) == 1


async def test_a_busy_file_is_said_to_be_busy_and_by_whom(path: Path, broker: SqliteBroker) -> None:
    program = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN IMMEDIATE');"
        "print('held', flush=True); sys.stdin.read()"
    )
    keeper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert keeper.stdout is not None
    assert await keeper.stdout.readline() == b"held\n"
    who = f"process {keeper.pid} " if sys.platform == "linux" else "another process"
    with pytest.raises(BrokerUnavailableError, match=rf"the file is busy: {who}.*kept it locked for 0\.1 s"):
        await broker.enqueue([_job()])
    await keeper.communicate(b"")
    await broker.enqueue([_job()])


async def test_the_doctor_sees_values_of_a_wrong_type_and_removed_files(
    path: Path, broker: SqliteBroker, other: sqlite3.Connection
) -> None:
    await broker.enqueue([_job(due_ms=2**50), _job()])
    assert sqlite_facts(f"sqlite:///{path}").odd == ()
    other.execute("UPDATE job SET due_ms = 'soon' WHERE due_ms IS NOT NULL")
    facts = sqlite_facts(f"sqlite:///{path}")
    assert facts.odd == ("job.due_ms 1",)
    assert not facts.holders
    path.unlink()
    facts = sqlite_facts(f"sqlite:///{path}")
    assert facts.leftover
    assert os.getpid() in facts.holders or sys.platform != "linux"


async def test_acts_by_hand_are_bounded_and_tell_what_they_did_although_the_file_was_busy(
    broker: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [_job() for _ in range(25)]
    await broker.enqueue(jobs)
    monkeypatch.setattr(manage, "IDS_STEP", 10)
    write, calls = broker._write, 0

    def second_is_busy(operation: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise BrokerUnavailableError("busy")  # noqa: EM101 - a test
        return write(operation)

    monkeypatch.setattr(broker, "_write", second_is_busy)
    ids = [job.id for job in jobs]
    assert [answer.state for answer in await broker.cancel(ids)] == [JobState.CANCELLED] * 25
    assert calls == 4
    for act in (broker.retry, broker.remove):
        calls = 0
        assert await act([*ids, new_job_id()]) == [True] * 25 + [False]
        assert calls == 4


async def test_a_claim_cancelled_on_the_way_hands_its_jobs_back(path: Path) -> None:
    async with SqliteBroker(f"sqlite:///{path}?timeout=30", BrokerSettings("app")) as broker:
        job = _job()
        await broker.enqueue([job])
        begun = asyncio.Event()
        go_on = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(_: Any) -> None:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)

        holding = broker._write(hold)
        await begun.wait()
        # In one batch: the claim has begun, and so cannot be withdrawn, when the barrier behind it holds the commit.
        claiming = asyncio.create_task(_claim(broker))
        await asyncio.sleep(0)
        second_begun = asyncio.Event()

        def hold_again(_: Any) -> None:
            loop.call_soon_threadsafe(second_begun.set)
            asyncio.run_coroutine_threadsafe(second_go_on.wait(), loop).result(30)

        second_go_on = asyncio.Event()
        holding_again = broker._write(hold_again)
        go_on.set()
        await second_begun.wait()
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        second_go_on.set()
        await asyncio.gather(holding, holding_again)
        await broker._write(lambda _: None)
        [record] = await broker.get([job.id])
        assert record is not None
        assert (record.state, record.attempt, record.epoch) == (JobState.READY, 0, 1)
        assert await broker.workers() == []


async def test_closing_waits_for_what_was_queued(path: Path) -> None:
    broker = SqliteBroker(f"sqlite:///{path}", BrokerSettings("app"))
    await broker.open()
    calls = [asyncio.create_task(broker.enqueue([_job()])) for _ in range(300)]
    await asyncio.sleep(0)
    await broker.close()
    assert all(not answer.duplicate_of for [answer] in await asyncio.gather(*calls))
    with pytest.raises(BrokerUnavailableError, match="not open"):
        await broker.enqueue([_job()])
    async with broker:
        assert len(await _claim(broker, 1000)) == 300


async def test_closing_lets_go_of_those_who_listen(broker: SqliteBroker) -> None:
    job = _job()
    await broker.enqueue([job])
    signals = broker.signals(WorkerId("w"))
    await anext(signals)
    tasks = [
        asyncio.ensure_future(anext(signals, None)),
        asyncio.ensure_future(anext(broker.events(), None)),
    ]
    await broker.get([job.id])
    await broker.close()
    done, _ = await asyncio.wait(tasks, timeout=20)
    assert done == set(tasks)


# -- contents --


async def test_damaged_rows_fail_alone(broker: SqliteBroker, other: sqlite3.Connection) -> None:
    jobs = [_job() for _ in range(6)]
    await broker.enqueue(jobs)
    damage = [
        ("payload", "'text'"),
        ("priority", "'high'"),
        ("expires_ms", "'soon'"),
        ("history", "7"),
        ("task", "x'ff'"),
    ]
    for job, (column, value) in zip(jobs, damage, strict=False):
        statement = f"UPDATE job SET {column} = {value} WHERE id = ?"  # noqa: S608 - from the table above
        other.execute(statement, (job.id,))
    assert await _claim(broker) == [jobs[-1].id]
    states = dict(other.execute("SELECT id, state FROM job").fetchall())
    assert [states[job.id] for job in jobs[:-1]] == [schema.FAILED] * 5
    page = await broker.list(JobQuery())
    assert jobs[-1].id in {record.id for record in page.jobs}


async def test_text_that_is_not_utf8_stops_nobody(broker: SqliteBroker, other: sqlite3.Connection) -> None:
    jobs = [_job(), _job()]
    await broker.enqueue(jobs)
    other.execute("UPDATE job SET task = CAST(x'ff41' AS TEXT) WHERE id = ?", (jobs[0].id,))
    assert await _claim(broker) == [job.id for job in jobs]
    assert [record.task for record in (await broker.list(JobQuery())).jobs] == ["shop.pay", "\ufffdA"]


@pytest.mark.parametrize("size", [0, 2048, 2049, 3_000_000])
async def test_payloads_of_every_size_come_back(
    broker: SqliteBroker, other: sqlite3.Connection, size: int
) -> None:
    payload = os.urandom(size)
    job = _job(payload=payload)
    await broker.enqueue([job])
    [record] = await broker.get([job.id])
    assert record is not None
    assert record.payload == payload
    claimed = await broker.claim([QueueWant("q", 1)], worker=WorkerId("w"), limit=1, lease_ms=60_000)
    assert claimed.deliveries[0].payload == payload
    await broker.surrender(WorkerId("w"), started=None)
    assert await broker.remove([job.id]) == [True]
    assert other.execute("SELECT count(*) FROM payload").fetchone() == (0,)


async def test_counters_agree_with_the_rows(broker: SqliteBroker, other: sqlite3.Connection) -> None:
    """The counter behind the cap on completed jobs is kept through each way into and out of a terminal state."""
    unique = UniqueLock("u", UniqueMode.KEEP_LAST)
    jobs = [
        _job(expires_ms=1),
        _job(),
        _job(),
        _job(unique=unique),
        _job(unique=unique),
        _job(fire=Fire("s", 1)),
    ]
    await broker.enqueue(jobs)
    await broker.cancel([jobs[1].id, jobs[2].id])
    await broker.tend()
    await broker.retry([jobs[0].id, jobs[1].id])
    await broker.remove([jobs[2].id])
    await broker.cancel([jobs[5].id])
    await broker.drain("q")
    await broker.clean(JobState.CANCELLED, older_than_ms=-1, limit=1)
    (kept,) = other.execute("SELECT kept FROM app").fetchone()
    assert (kept,) == other.execute("SELECT count(*) FROM job WHERE state IN (3, 5, 6)").fetchone()
    assert kept == 1


async def test_no_table_grows_for_ever(path: Path) -> None:
    """What stands in each table when all is done and old: each row that is left is explained here."""
    clock = FakeClock()
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app"), clock=clock) as broker:
        scene = Scene(broker, clock)
        for number in range(3):
            names = [f"s{number}", "kept"]
            await broker.declare_schedules([ScheduleRecord(name, "every 60s", "shop.pay") for name in names])
            for state in JobState:
                unique = UniqueLock(f"{number}-{state}", UniqueMode.THROTTLE, 1000)
                fire = Fire(f"s{number}", clock.now_ms() + 1)
                key = f"k{number}-{state}"
                clock.advance(1)
                job = scene.job(queue=key, payload=b"x" * 5000, key=key, unique=unique, fire=fire)
                await scene.reach(state, job)
            delivery = await scene.start(scene.job(queue="log"), worker=f"w{number}")
            await broker.report([Report(delivery.lease, LogLine(1, "info", "line"))])
            await broker.cancel([job.id for job in (await broker.list(JobQuery())).jobs])
            await broker.pause(f"q{number}")
            await broker.resume(f"q{number}")
            clock.advance(HOUR)
            await broker.tend()
            for ready in (await broker.list(JobQuery((JobState.READY,)))).jobs:
                await scene.finish(await scene.take_one(queue=ready.queue), Succeeded())
            clock.advance(HOUR)
        clock.advance(8 * DAY)
        for _ in range(3):
            await broker.tend()
            await broker.surrender(WorkerId("w"), started=())
        clock.advance(367 * DAY)
        await broker.tend()
        await broker.enqueue([])
    db = sqlite3.connect(path)
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    left = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # noqa: S608
    db.close()
    explained = {
        "app": 1,  # one for each app
        "schedule": 2,  # those that are declared
        "sqlite_sequence": left["sqlite_sequence"],  # one for each table that counts on
        "worker": left["worker"],  # those that claimed in the last minutes
    }
    assert left == {table: explained.get(table, 0) for table in tables}
    assert left["worker"] <= 4


async def test_hot_statements_walk_their_indexes(other: sqlite3.Connection) -> None:
    """A condition that no longer matches its partial index would be right and slow: the plan tells."""
    for statement, count in [
        ("SELECT seq FROM job WHERE app = ? AND +state > 2 AND state = ? ORDER BY pos LIMIT ?", 3),
        (
            "SELECT seq FROM job INDEXED BY job_ready WHERE app = ? AND state = 1 AND queue = ? ORDER BY priority DESC, pos",
            2,
        ),
    ]:
        plan = " ".join(row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * count))
        assert "USING" in plan
        assert "TEMP B-TREE" not in plan
