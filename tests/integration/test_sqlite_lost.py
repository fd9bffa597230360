"""A SQLite file that is deleted, moved, replaced or robbed of its log while it is open."""

# ruff: noqa: ASYNC240 - tests look at small files, nothing else runs on their loop

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.brokers.base import BrokerSettings, LeaseLost, QueueWant, Settlement, Wake
from headway.brokers.sqlite.broker import SqliteBroker
from headway.errors import BrokerUnavailableError
from headway.job import JobId, NewJob, Succeeded, WorkerId, new_job_id
from headway.runtime.worker import Worker
from headway.storage.sqlite import identity as sqlite_identity
from tests.conformance.listening import DEADLINE_S, Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from headway.job import Delivery, JobRecord

WORKER = WorkerId("w")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headway.db"


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[SqliteBroker]:
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as opened:
        yield opened


def _job() -> NewJob:
    return NewJob(new_job_id(), "shop.pay", "q", b"x")


async def _put(broker: SqliteBroker) -> JobId:
    [answer] = await broker.enqueue([_job()])
    return answer.id


async def _take(broker: SqliteBroker) -> list[Delivery]:
    claimed = await broker.claim([QueueWant("q", 10_000)], worker=WORKER, limit=10_000, lease_ms=60_000)
    return claimed.deliveries


async def _accepted_until_refused(broker: SqliteBroker) -> list[JobId]:
    """Enqueue until that is refused; a loss must show within a second."""
    accepted: list[JobId] = []
    until = time.monotonic() + 5  # a second, and what a busy machine takes
    while time.monotonic() < until:
        try:
            accepted.append(await _put(broker))
        except BrokerUnavailableError as error:
            assert " was open" in str(error)  # noqa: PT017 - what came before it is wanted
            return accepted
    pytest.fail("nothing was refused")


async def _put_when_back(broker: SqliteBroker) -> JobId:
    until = time.monotonic() + DEADLINE_S
    while True:
        try:
            return await _put(broker)
        except BrokerUnavailableError:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)


def _ids(path: Path) -> set[str]:
    """Read the file as a program that opens it now: what is not there is lost."""
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("SELECT id FROM job")}


def _deleted(path: Path) -> None:
    path.unlink()


def _deleted_with_its_log(path: Path) -> None:
    for file in path.parent.glob("headway.db*"):
        file.unlink()


def _replaced_by_an_empty_one(path: Path) -> None:
    path.with_name("new").touch()
    path.with_name("new").rename(path)


def _replaced_by_a_link(path: Path) -> None:
    path.unlink()
    path.with_name("other.db").touch()
    path.symlink_to("other.db")


STRANGER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("CREATE TABLE theirs (a)")
db.executemany("INSERT INTO theirs VALUES (?)", [("x" * 3000,)] * 50)
print("begun", flush=True)
sys.stdin.read()
db.close()
"""

GONE = [_deleted, _deleted_with_its_log, _replaced_by_an_empty_one, _replaced_by_a_link]


@pytest.mark.parametrize("befall", GONE)
async def test_nothing_is_accepted_into_a_file_that_is_gone(
    path: Path, broker: SqliteBroker, befall: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Promise 1: refused within a second, said once, and then accepted by the file that is there."""
    await _put(broker)
    befall(path)
    with caplog.at_level(logging.WARNING):
        lost = await _accepted_until_refused(broker)
        since = [await _put_when_back(broker) for _ in range(3)]
    assert _ids(path) == set(since)
    assert not _ids(path) & set(lost)
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "while it was open" in line]) == 1
    assert len([line for line in said if "open again" in line]) == 1
    assert [delivery.lease.job_id for delivery in await _take(broker)] == since


async def test_a_blocking_caller_is_refused_as_well(path: Path, broker: SqliteBroker) -> None:
    await _put(broker)
    path.unlink()
    until = time.monotonic() + 5

    def enqueue_until_refused() -> None:
        while broker.enqueue_blocking(_job()):
            assert time.monotonic() < until

    await asyncio.to_thread(enqueue_until_refused)
    assert await _put_when_back(broker) in _ids(path)


async def test_a_file_that_was_moved_away_is_whole_where_it_is_now(path: Path, broker: SqliteBroker) -> None:
    before = [await _put(broker) for _ in range(3)]
    path.rename(path.with_name("moved.db"))
    late = await _accepted_until_refused(broker)
    new = await _put_when_back(broker)
    assert _ids(path.with_name("moved.db")) == {*before, *late}
    assert _ids(path) == {new}


async def test_the_jobs_of_a_backup_that_was_put_in_place_are_served(
    path: Path, broker: SqliteBroker
) -> None:
    saved = [await _put(broker) for _ in range(3)]
    backup = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    await _put(broker)
    backup.rename(path)
    await _accepted_until_refused(broker)
    new = await _put_when_back(broker)
    assert [delivery.lease.job_id for delivery in await _take(broker)] == [*saved, new]


@pytest.mark.parametrize(
    "names", [["headway.db-wal"], ["headway.db-shm"], ["headway.db-wal", "headway.db-shm"]]
)
async def test_a_log_that_is_removed_takes_no_job_with_it(
    path: Path, broker: SqliteBroker, names: list[str]
) -> None:
    """Also of another process, which notices by itself: here a second broker."""
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as other:
        accepted = [await _put(broker), await _put(other)]
        for name in names:
            path.with_name(name).unlink()
        accepted += await _accepted_until_refused(broker)
        accepted += [await _put_when_back(broker), await _put_when_back(other), await _put(broker)]
        assert _ids(path) == set(accepted)
        assert len(await _take(broker)) + len(await _take(other)) == len(accepted)


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("notices", [True, False])
async def test_pages_of_two_logs_are_not_mixed(path: Path, *, lives: bool, notices: bool) -> None:
    """Another process began a new log before this one noticed: what it writes stays sound."""
    broker = SqliteBroker(f"sqlite:///{path}", BrokerSettings("app"))
    async with broker:
        await _put(broker)
    async with broker:
        await _put(broker)
        for name in ("headway.db-wal", "headway.db-shm"):
            path.with_name(name).unlink()
        # In another process: in one, SQLite shares the old index among all connections.
        stranger = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STRANGER, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert stranger.stdout is not None
        assert await stranger.stdout.readline() == b"begun\n"
        if not lives:
            await stranger.communicate(b"")
        if notices:
            await _accepted_until_refused(broker)
            await _put_when_back(broker)
    if lives:
        await asyncio.wait_for(stranger.communicate(b""), DEADLINE_S)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM theirs").fetchone() == (50,)


async def test_a_worker_hears_that_it_lost_what_it_held_and_goes_on(path: Path, broker: SqliteBroker) -> None:
    await _put(broker)
    async with Listener(broker.signals(WORKER)) as heard:
        assert isinstance(await heard.next(), Wake)
        [held] = await _take(broker)
        path.unlink()  # nobody writes: the listener notices by itself
        assert isinstance(await heard.next(), LeaseLost)
        assert isinstance(await heard.next(), Wake)
        [answer] = await broker.settle([Settlement(held.lease, Succeeded())])
        assert not answer.applied
        assert await _take(broker) == []
        job_id = await _put(broker)
        assert isinstance(await heard.next(), Wake)
        assert [delivery.lease.job_id for delivery in await _take(broker)] == [job_id]


async def test_who_waits_for_a_job_is_told_that_it_is_gone(path: Path, broker: SqliteBroker) -> None:
    job_id = await _put(broker)
    waiting = asyncio.create_task(broker.wait_finished(job_id, None))
    events = Listener(broker.events())
    async with events:
        path.unlink()
        assert await asyncio.wait_for(waiting, DEADLINE_S) is None
        while True:  # until the iterator has noted its presence in the new file
            new = await _put(broker)
            try:
                event = await events.next(within=0.5)
            except TimeoutError:
                continue
            assert event.job_id == new
            break


async def test_reading_notices_too(path: Path, broker: SqliteBroker) -> None:
    job_id = await _put(broker)
    path.unlink()
    until = time.monotonic() + DEADLINE_S
    found: list[JobRecord | None] = [None]
    while True:
        assert time.monotonic() < until
        with suppress(BrokerUnavailableError):
            found = await broker.get([job_id])
            if found == [None]:
                break
        await asyncio.sleep(0.02)


async def test_a_folder_that_is_away_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "headway.db"
    async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
        await _put(broker)
        shutil.rmtree(folder)
        await _accepted_until_refused(broker)
        until = time.monotonic() + DEADLINE_S
        said = ""
        while "cannot be opened again" not in said:
            assert time.monotonic() < until
            with pytest.raises(BrokerUnavailableError) as refused:
                await _put(broker)
            said = str(refused.value)
            await asyncio.sleep(0.02)
        assert "check that its folder exists" in said
        folder.mkdir()
        assert await _put_when_back(broker) in _ids(path)


async def test_closing_while_the_file_is_away_ends_everything(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    broker = SqliteBroker(f"sqlite:///{folder / 'headway.db'}", BrokerSettings("app"))
    await broker.open()
    signals = broker.signals(WORKER)
    assert isinstance(await anext(signals), Wake)
    following = asyncio.ensure_future(anext(signals, None))
    shutil.rmtree(folder)
    await _accepted_until_refused(broker)
    await broker.close()
    assert await asyncio.wait_for(following, DEADLINE_S) is None
    with pytest.raises(BrokerUnavailableError, match="not open"):
        await broker.enqueue([_job()])


async def test_a_process_that_changes_its_folder_opens_the_same_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "first")
    async with SqliteBroker("sqlite:///headway.db", BrokerSettings("app")) as broker:
        monkeypatch.chdir(tmp_path / "second")
        await _put(broker)
        (tmp_path / "first" / "headway.db").unlink()
        await _accepted_until_refused(broker)
        new = await _put_when_back(broker)
    assert _ids(tmp_path / "first" / "headway.db") == {new}
    assert not list((tmp_path / "second").iterdir())


async def test_the_log_of_a_deleted_file_is_not_taken_for_that_of_the_next(path: Path) -> None:
    """A process that lives on holds the index of the old log: the new file must not share it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.execute("CREATE TABLE t (a)")
        old.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,)] * 20)
        path.unlink()
        async with SqliteBroker(f"sqlite:///{path}", BrokerSettings("app")) as broker:
            job_id = await _put(broker)
            old.execute("INSERT INTO t VALUES (1)")
            assert _ids(path) == {job_id}


def test_a_file_is_looked_at_four_times_a_second_at_most(tmp_path: Path) -> None:
    path, now = tmp_path / "x.db", [0.0]
    path.touch()
    check = sqlite_identity.FileCheck(path, clock=lambda: now[0])
    assert check.loss() is None
    path.unlink()
    assert check.loss() is None
    now[0] = 0.25
    loss = check.loss()
    assert loss is not None
    assert loss.whole


async def test_a_worker_whose_file_is_deleted_serves_the_next_one(path: Path) -> None:
    """It gives up what it held, and runs what is enqueued there."""
    app = Headway("shop", url=f"sqlite:///{path}")
    started, given_up = asyncio.Event(), asyncio.Event()

    @app.task(name="long")
    async def long() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.set()
            raise

    @app.every("1h")
    @app.task(name="short")
    async def short() -> int:
        return 7

    async with app:
        worker = Worker(app, concurrency=2)
        running = asyncio.create_task(worker.run())
        await long.enqueue()
        await asyncio.wait_for(started.wait(), DEADLINE_S)
        path.unlink()
        await asyncio.wait_for(given_up.wait(), DEADLINE_S)
        until = time.monotonic() + DEADLINE_S
        while True:
            assert time.monotonic() < until
            with suppress(BrokerUnavailableError):
                job = await short.enqueue()
                break
            await asyncio.sleep(0.02)
        assert await job.result(timeout=DEADLINE_S) == 7
        assert job.id in _ids(path)
        worker.stop()
        await running


LIMITED = """
import asyncio, resource, sys
from headway.brokers.base import BrokerSettings
from headway.brokers.sqlite.broker import SqliteBroker
from headway.errors import BrokerRefusedError
from headway.job import NewJob, new_job_id

async def main():
    async with SqliteBroker("sqlite:///" + sys.argv[1], BrokerSettings("app")) as broker:
        async def put():
            [answer] = await broker.enqueue([NewJob(new_job_id(), "t", "q", b"x" * 1500)])
            print("accepted", answer.id)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        try:
            while True:
                await put()
        except BrokerRefusedError as error:
            print("refused", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await put()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
async def test_a_file_that_may_not_grow_refuses_and_keeps_all_that_it_accepted(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LIMITED, str(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 2 * DEADLINE_S)
    assert process.returncode == 0, err
    lines = [line.split(" ", 1) for line in out.decode().splitlines()]
    accepted = {rest for word, rest in lines if word == "accepted"}
    [refused] = [rest for word, rest in lines if word == "refused"]
    assert "the disk reports an error" in refused or "the disk is full" in refused
    assert accepted == _ids(path)
