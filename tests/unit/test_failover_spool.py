"""The file of the spool: against a list in memory, and against what files meet."""

from __future__ import annotations

import os
import resource
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headway.errors import ConfigError, SpoolError
from headway.job import Fire, NewJob, UniqueLock, UniqueMode, new_job_id
from headway.routing.failover.entries import SeenBreaker, decode, encode
from headway.routing.failover.reading import read_spool
from headway.routing.failover.spoolfile import Bounds, SpoolFile
from headway.routing.failover.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headway.job import JobId

PLENTY = Bounds(1000, 1_000_000)


CARRIER = st.sampled_from(["main", "west"])


@dataclass
class Row:
    """A job as the list has it."""

    id: str
    carrier: str
    queue: str
    tried: bool
    parked: bool = False


def job(queue: str = "email", payload: bytes = b"x", **more: object) -> NewJob:
    return NewJob(new_job_id(), "task", queue, payload, **more)  # type: ignore[arg-type]


def opened(path: Path, app: str = "shop", bounds: Bounds = PLENTY) -> SpoolFile:
    spool = SpoolFile(path, app, bounds)
    spool.open()
    return spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SpoolFile]:
    one = opened(tmp_path / "spool.db")
    yield one
    one.close()


def test_a_job_comes_back_as_it_was() -> None:
    for one in (
        job(),
        job(payload=bytes(range(256)), key="k", due_ms=5, expires_ms=6, headers={"tenant": "é"}),
        job(unique=UniqueLock("u", UniqueMode.THROTTLE, 3)),
        job(fire=Fire("hourly", 7)),
    ):
        assert decode(encode(one), one.id) == one


class SpoolMachine(RuleBasedStateMachine):
    """A spool, and a list that holds what it should."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="headway-spool-")
        self.path = Path(self.folder.name) / "spool.db"
        self.spool = opened(self.path)
        self.watch = Watch(self.path)
        self.watch.open()
        self.model: list[Row] = []
        self.flushed = 0
        self.now = 0

    def teardown(self) -> None:
        self.watch.close()
        self.spool.close()
        self.folder.cleanup()

    def head(self, carrier: str) -> list[Row]:
        return [one for one in self.model if one.carrier == carrier and not one.parked]

    @rule(
        carrier=CARRIER, queues=st.lists(st.sampled_from("ab"), min_size=1, max_size=4), tried=st.booleans()
    )
    def put(self, carrier: str, queues: list[str], tried: bool) -> None:
        self.now += 1
        jobs = [job(queue) for queue in queues]
        self.spool.put(carrier, jobs, tried_ms=self.now if tried else None, now_ms=self.now)
        self.spool.put(carrier, jobs, tried_ms=None, now_ms=self.now)  # again: the same jobs
        self.model += [Row(one.id, carrier, one.queue, tried=tried) for one in jobs]

    @rule(carrier=CARRIER, count=st.integers(1, 5))
    def done(self, carrier: str, count: int) -> None:
        some = self.spool.head(carrier, count)
        self.spool.done([one.seq for one in some])
        self.flushed += len(some)
        gone = {one.job.id for one in some}
        self.model = [one for one in self.model if one.id not in gone]

    @rule(carrier=CARRIER, count=st.integers(1, 3))
    def park(self, carrier: str, count: int) -> None:
        self.spool.park([one.seq for one in self.spool.head(carrier, count)], "why")
        for one in self.head(carrier)[:count]:
            one.parked = True

    @rule()
    def unpark(self) -> None:
        assert self.spool.unpark(self.now) == sum(one.parked for one in self.model)
        for one in self.model:
            one.parked = False

    @rule()
    def drop(self) -> None:
        assert self.spool.drop_parked() == sum(one.parked for one in self.model)
        self.model = [one for one in self.model if not one.parked]

    @rule(count=st.integers(1, 4))
    def rebind(self, count: int) -> None:
        self.spool.rebind([one.seq for one in self.spool.head("main", count)], "west")
        for one in self.head("main")[:count]:
            one.carrier = one.carrier if one.tried else "west"

    @rule()
    def reopen(self) -> None:
        self.spool.close()
        self.spool = opened(self.path)

    @invariant()
    def it_holds_what_the_list_holds(self) -> None:
        for carrier in ("main", "west"):
            head = self.head(carrier)
            assert [one.job.id for one in self.spool.head(carrier, 1000)] == [one.id for one in head]
            assert self.watch.has(carrier) == bool(head)
            for queue in "ab":
                assert self.watch.holds(carrier, queue) == any(one.queue == queue for one in head)

    @invariant()
    def its_sums_are_right(self) -> None:
        contents = self.spool.contents(self.now)
        assert (contents.jobs, contents.flushed) == (len(self.model), self.flushed)
        assert contents.parked == sum(one.parked for one in self.model)
        assert sum(one.jobs for one in contents.lanes) == contents.jobs - contents.parked
        assert read_spool(self.path, "shop", self.now)[0] == contents


SpoolMachine.TestCase.settings = settings(deadline=None, max_examples=30, stateful_step_count=20)
TestSpool = SpoolMachine.TestCase


def test_a_bound_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool.db", bounds=Bounds(3, 10_000))
    spool.put("main", [job(), job()], tried_ms=None, now_ms=1)
    with pytest.raises(SpoolError, match="it holds 2 jobs, spool_limit is 3"):
        spool.put("main", [job(), job()], tried_ms=None, now_ms=1)
    with pytest.raises(SpoolError, match="bytes, spool_bytes is 10000"):
        spool.put("main", [job(payload=b"x" * 10_000)], tried_ms=None, now_ms=1)
    assert spool.contents(1).jobs == 2
    spool.put("main", [job()], tried_ms=None, now_ms=1)
    spool.close()


def test_since_when_a_carrier_may_have_a_job_does_not_change(spool: SpoolFile) -> None:
    spool.put("main", [job()], tried_ms=None, now_ms=1)
    [entry] = spool.head("main", 1)
    assert entry.tried_ms is None
    assert spool.hand_over("main", [entry], 5) == [entry]
    assert spool.hand_over("main", [entry], 9) == [entry]
    assert spool.head("main", 1)[0].tried_ms == 5
    spool.rebind([entry.seq], "west")
    assert spool.head("main", 1)[0].carrier == "main"  # it was handed over: it is bound


def test_of_two_who_want_to_lead_a_job_the_first_decides(spool: SpoolFile) -> None:
    spool.put("main", [job(), job(), job()], tried_ms=None, now_ms=1)
    first, second, third = spool.head("main", 9)
    spool.rebind([first.seq], "west")
    spool.park([third.seq], "why")
    assert spool.hand_over("main", [first, second, third], 5) == [second]
    assert spool.hand_over("west", [first], 6) == [first]
    assert [one.tried_ms for one in spool.head("west", 9)] == [6]


def test_a_job_that_is_cancelled_between_the_look_and_the_hand_over_is_not_handed_over(
    spool: SpoolFile,
) -> None:
    spool.put("main", [job(), job()], tried_ms=None, now_ms=1)
    seen = spool.head("main", 9)
    first, second = (one.job.id for one in seen)
    assert spool.cancel([first, new_job_id()], "no") == {first: False}
    assert [one.job.id for one in spool.hand_over("main", seen, 5)] == [second]
    entry = spool.head("main", 1)[0]
    assert (entry.cancelled, entry.tried_ms) == ("no", None)
    assert spool.hand_over("main", [entry], 6) == [entry]  # now that it is known
    assert spool.cancel([first], "again") == {first: True}
    assert spool.head("main", 1)[0].cancelled == "no"


def test_a_job_that_is_cancelled_while_it_is_brought_stays_until_that_is_known_there(
    spool: SpoolFile,
) -> None:
    spool.put("main", [job(), job()], tried_ms=None, now_ms=1)
    seen = spool.head("main", 9)
    spool.cancel([seen[1].job.id], "")
    assert spool.done([one.seq for one in seen]) == 1
    [left] = spool.head("main", 9)
    assert (left.job.id, left.cancelled) == (seen[1].job.id, "")
    assert spool.done([left.seq], cancelled=True) == 1
    assert spool.contents(1).flushed == 2


def test_a_job_that_was_set_aside_is_forgotten_when_it_is_cancelled(spool: SpoolFile) -> None:
    spool.put("main", [job()], tried_ms=None, now_ms=1)
    [entry] = spool.head("main", 1)
    spool.park([entry.seq], "refused")
    assert spool.cancel([entry.job.id], "") == {entry.job.id: False}
    assert spool.contents(1).jobs == 0


def test_one_process_at_a_time_brings_jobs_home(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "spool.db"), opened(tmp_path / "spool.db")
    assert one.take_lease("main", "one", 100, 1000)
    assert not other.take_lease("main", "other", 100, 1050)
    assert other.take_lease("west", "other", 100, 1050)
    assert one.take_lease("main", "one", 100, 1080)
    assert other.take_lease("main", "other", 100, 1181)  # it ended: its holder may be dead
    one.release("main", "one")  # of a lease that is not its any more
    assert not one.take_lease("main", "one", 100, 1200)
    assert one.take_lease("main", "one", 100, 500)  # the clock was set back: nobody waits for the old one
    one.close()
    other.close()


def test_breakers_of_dead_processes_are_forgotten(spool: SpoolFile) -> None:
    spool.note_breaker(SeenBreaker("main", 1, "open", 100, 1000, "cut"), closed=False)
    spool.note_breaker(SeenBreaker("main", 2, "open", 100, 15_000, "cut"), closed=False)
    assert [one.pid for one in spool.contents(15_500).breakers] == [1, 2]
    assert [one.pid for one in spool.contents(16_500).breakers] == [2]
    spool.note_breaker(SeenBreaker("main", 2, "closed", 100, 17_000, ""), closed=True)
    assert spool.contents(17_000).breakers == ()


# --- files ------------------------------------------------------------------------------------------------------------


def refused(path: Path, app: str = "shop") -> str:
    with pytest.raises(ConfigError) as caught:
        opened(path, app)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_of_another_app_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    opened(path, "shop").close()
    assert "is that of the app 'shop', this is 'bank'" in refused(path, "bank")
    with pytest.raises(ConfigError, match="is that of the app 'shop'"):
        read_spool(path, "bank", 1)


def test_a_file_that_is_no_spool_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE job (id TEXT)")
    db.close()
    before = path.read_bytes()
    assert "is a SQLite database, but no spool" in refused(path)
    assert path.read_bytes() == before
    text = tmp_path / "notes.txt"
    text.write_text("no database at all " * 100)
    assert "is damaged (file is not a database)" in refused(text)
    with pytest.raises(ConfigError, match="is damaged"):
        read_spool(text, "shop", 1)


def test_a_newer_spool_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    assert "newer Headway (version 9, this one knows 2)" in refused(path)
    with pytest.raises(ConfigError, match="newer Headway"):
        read_spool(path, "shop", 1)


def test_a_spool_of_before_is_brought_up_to_date_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = opened(path)
    jobs = [job(), job()]
    spool.put("main", jobs, tried_ms=None, now_ms=1)
    spool.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE job DROP COLUMN cancelled")
        db.execute("PRAGMA user_version = 1")
    db.close()
    assert read_spool(path, "shop", 1)[0].jobs == 2
    again = opened(path)
    again.cancel([jobs[0].id], "why")
    assert [(one.job.id, one.cancelled) for one in again.head("main", 9)] == [
        (jobs[0].id, "why"),
        (jobs[1].id, None),
    ]
    again.close()
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 0")
    db.close()
    assert "is damaged (its version is 0)" in refused(path)


@pytest.mark.parametrize(
    ("pragma", "back", "said"),
    [
        ("max_page_count = 1", "max_page_count = 100000", "the disk is full"),
        ("query_only = ON", "query_only = OFF", "it cannot be written: check who owns it and its folder"),
    ],
    ids=["full", "readonly"],
)
def test_what_cannot_be_written_is_said_and_nothing_is_half_done(
    spool: SpoolFile, pragma: str, back: str, said: str
) -> None:
    """Also to let jobs leave, and cancel them, something is written: they stay as they are until there is room."""
    jobs = [job(payload=b"x" * 500) for _ in range(20)]
    spool.put("main", jobs, tried_ms=None, now_ms=1)
    seen, before = spool.head("main", 99), spool.contents(1)
    assert spool._db is not None
    spool._db.execute(f"PRAGMA {pragma}")
    more = [job(payload=b"x" * 50_000) for _ in range(3)]
    with pytest.raises(SpoolError, match=said) as caught:
        spool.put("main", more, tried_ms=None, now_ms=1)
    assert "\n" not in str(caught.value)
    if "query_only" in pragma:  # a page count bounds what is added alone
        for write in (
            lambda: spool.hand_over("main", seen, 5),
            lambda: spool.done([one.seq for one in seen]),
            lambda: spool.cancel([jobs[0].id], ""),
        ):
            with pytest.raises(SpoolError, match=said):
                write()
    assert (spool.head("main", 99), spool.contents(1)) == (seen, before)
    spool._db.execute(f"PRAGMA {back}")
    spool.put("main", more, tried_ms=None, now_ms=1)
    assert [one.job.id for one in spool.head("main", 99)] == [one.id for one in (*jobs, *more)]


def test_a_file_that_may_not_grow_is_said(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool.db")
    spool.put("main", [job()], tried_ms=None, now_ms=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        with pytest.raises(SpoolError, match="the disk does not take it") as caught:
            spool.put("main", [job(payload=b"x" * 90_000)], tried_ms=None, now_ms=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert spool.contents(1).jobs == 1
    spool.put("main", [job(payload=b"x" * 90_000)], tried_ms=None, now_ms=1)
    assert spool.contents(1).jobs == 2
    spool.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/spool.db", "there is no folder"),
        ("folder", "it is a folder, and must be a file in one"),
        ("/proc/spool.db", "its folder cannot be written"),  # by nobody, not even root
    ],
)
def test_a_place_that_takes_no_file_is_said(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert said in refused(tmp_path / name)


def test_no_folder_is_said(tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path / 'nosuch'}" in refused(tmp_path / "nosuch" / "spool.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "ro"
    folder.mkdir(mode=0o500)
    assert "its folder cannot be written" in refused(folder / "spool.db")


def test_a_torn_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = opened(path)
    spool.put("main", [job() for _ in range(200)], tried_ms=None, now_ms=1)
    spool.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with pytest.raises((ConfigError, SpoolError), match="is damaged"):
        opened(path).put("main", [job()], tried_ms=None, now_ms=1)


def test_a_torn_log_loses_no_more_than_what_was_never_accepted(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = opened(path)
    ids: list[JobId] = []
    for _ in range(5):
        one = job()
        spool.put("main", [one], tried_ms=None, now_ms=1)
        ids.append(one.id)
    log = path.with_name("spool.db-wal")
    kept = log.read_bytes()
    copy = tmp_path / "after"
    copy.mkdir()
    (copy / "spool.db").write_bytes(path.read_bytes())
    (copy / "spool.db-wal").write_bytes(kept + kept[-2000:])  # the machine stopped while more was written
    again = opened(copy / "spool.db")
    assert [one.job.id for one in again.head("main", 10)] == ids
    again.close()
    spool.close()


def test_a_damaged_job_is_set_aside_and_keeps_nobody_waiting(spool: SpoolFile) -> None:
    first, second = job(), job()
    spool.put("main", [first, second], tried_ms=None, now_ms=1)
    assert spool._db is not None
    spool._db.execute("UPDATE job SET body = x'00' WHERE id = ?", (first.id,))
    assert [one.job.id for one in spool.head("main", 10)] == [second.id]
    [(job_id, carrier, why)] = spool.parked(10)
    assert (job_id, carrier) == (first.id, "main")
    assert "is damaged" in why


@pytest.mark.parametrize("how", ["removed", "replaced", "log removed"])
def test_a_file_that_is_taken_away_while_open_is_made_anew_with_what_it_held(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool.db"
    spool = opened(path)
    first, second = job(), job()
    spool.put("main", [first], tried_ms=None, now_ms=1)
    if how == "removed":
        for name in ("spool.db", "spool.db-wal", "spool.db-shm"):
            (tmp_path / name).unlink()
    elif how == "replaced":
        other = opened(tmp_path / "other.db")
        other.close()
        (tmp_path / "other.db").replace(path)
    else:
        (tmp_path / "spool.db-wal").unlink()
    spool.put("main", [second], tried_ms=None, now_ms=2)
    assert "it was made anew with the 1 jobs that it held" in caplog.text
    spool.close()
    again = opened(path)
    assert [one.job.id for one in again.head("main", 10)] == [first.id, second.id]
    assert (
        again.head("main", 10)[0].tried_ms is not None
    )  # another process may have brought it home meanwhile
    again.close()


def test_a_full_disk_is_said(spool: SpoolFile) -> None:
    assert spool._db is not None
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(SpoolError, match="the disk is full"):
        spool.put("main", [job(payload=os.urandom(100_000))], tried_ms=None, now_ms=1)
    assert spool.contents(1).jobs == 0


def test_a_file_that_another_process_keeps_locked_is_said(
    spool: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spool._db is not None
    spool._db.execute("PRAGMA busy_timeout = 10")
    holder = sqlite3.connect(spool.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpoolError, match="has kept it locked"):
        spool.put("main", [job()], tried_ms=None, now_ms=1)
    holder.close()
    spool.put("main", [job()], tried_ms=None, now_ms=1)


def test_a_missing_file_is_empty_and_is_not_made(tmp_path: Path) -> None:
    contents, parked = read_spool(tmp_path / "spool.db", "shop", 1)
    assert (contents.jobs, parked) == (0, [])
    assert not (tmp_path / "spool.db").exists()
