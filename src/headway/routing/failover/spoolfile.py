"""The file of a spool: what is put in, taken out, counted. Blocking calls, for one thread at a time.

Every change is one transaction that waits for the disk. All processes of the host use the same file.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from headway.errors import CodecError, ConfigError, SpoolError
from headway.routing.failover.entries import Contents, Entry, LaneDepth, SeenBreaker, decode, encode
from headway.routing.failover.schema import BUSY_S, connect
from headway.routing.failover.turn import Turn
from headway.storage.sqlite.identity import FileCheck, Holder, clear_leftovers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from headway.job import JobId, NewJob

_log = logging.getLogger("headway.spool")

BREAKER_SEEN_MS: Final = 15_000
"""A process that has not told of its breaker for so long has ended."""
_MOST_BYTES: Final = 4 * 1024 * 1024  # of jobs in one batch


class Bounds:
    """How much a spool takes."""

    def __init__(self, jobs: int, size: int) -> None:
        """`size` is in bytes."""
        self.jobs = jobs
        self.size = size


class SpoolFile:
    """One open spool. Each method may raise SpoolError, which says what is wrong with the file."""

    def __init__(self, path: Path, app: str, bounds: Bounds) -> None:
        self.path = path.absolute()
        self.openings = 0
        """How often the file was opened: once, and again each time that it was lost."""
        self._app = app
        self._bounds = bounds
        self._db: sqlite3.Connection | None = None
        self._check: FileCheck | None = None
        self._turn: Turn | None = None

    def open(self) -> None:
        """Open or make the file; ConfigError."""
        if self._db is None:
            clear_leftovers(self.path)
            self._db = connect(self.path, self._app)
            self._check = FileCheck(self.path)
            self._turn = Turn(self.path)
            self.openings += 1

    def close(self) -> None:
        """Close it."""
        db, self._db = self._db, None
        if db is not None:
            db.close()
        if self._turn is not None:
            self._turn.close()
            self._turn = None

    def check(self) -> None:
        """Make sure that the file is the one that the path names: else others put jobs where this process looks not."""
        self._usable()

    # --- jobs ---------------------------------------------------------------------------------------------------

    def put(self, carrier: str, jobs: Sequence[NewJob], *, tried_ms: int | None, now_ms: int) -> None:
        """Take all of the jobs or none, in their order; one that is there already stays as it is.

        `tried_ms`: since when the carrier may have them; None: it does not.
        """
        with self._transaction() as db:
            bodies = [encode(job) for job in jobs]
            self._check_bounds(db, len(jobs), sum(map(len, bodies)))
            db.executemany(
                "INSERT INTO job (id, carrier, queue, body, since_ms, tried_ms) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING",
                [
                    (job.id, carrier, job.queue, body, now_ms, tried_ms)
                    for job, body in zip(jobs, bodies, strict=True)
                ],
            )

    def _check_bounds(self, db: sqlite3.Connection, jobs: int, size: int) -> None:
        there, bytes_there = db.execute("SELECT total(jobs), total(size) FROM lane").fetchone()
        if there + jobs > self._bounds.jobs:
            msg = f"spool {self.path} is full: it holds {there:.0f} jobs, spool_limit is {self._bounds.jobs}"
            raise SpoolError(msg)
        if bytes_there + size > self._bounds.size:
            msg = f"spool {self.path} is full: it holds {bytes_there:.0f} bytes, spool_bytes is {self._bounds.size}"
            raise SpoolError(msg)

    def head(self, carrier: str, limit: int, *, behind: int = 0) -> list[Entry]:
        """Return the jobs of a carrier that came first (behind the one numbered so) and are not parked.

        Damaged ones are parked.
        """
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, id, body, since_ms, tried_ms FROM job "
                "WHERE carrier = ? AND parked = '' AND seq > ? ORDER BY seq LIMIT ?",
                (carrier, behind, limit),
            ).fetchall()
        entries: list[Entry] = []
        size = 0
        for seq, job_id, body, since_ms, tried_ms in rows:
            try:
                job = decode(body, job_id)
            except CodecError as error:
                self.park([seq], str(error))
                continue
            entries.append(Entry(seq, carrier, job, since_ms, tried_ms))
            size += len(body)
            if size > _MOST_BYTES:
                break
        return entries

    def parked(self, limit: int) -> list[tuple[str, str, str]]:
        """Return id, carrier and reason of parked jobs."""
        with self._reading() as db:
            return db.execute(
                "SELECT id, carrier, parked FROM job WHERE parked <> '' ORDER BY seq LIMIT ?", (limit,)
            ).fetchall()

    def find(self, ids: Iterable[JobId]) -> list[Entry]:
        """Return those of these jobs that are here."""
        found: list[Entry] = []
        with self._reading() as db:
            for job_id in ids:
                row = db.execute(
                    "SELECT seq, carrier, body, since_ms, tried_ms, parked FROM job WHERE id = ?", (job_id,)
                ).fetchone()
                if row is not None:
                    found.append(Entry(row[0], row[1], decode(row[2], job_id), *row[3:]))
        return found

    def hand_over(self, carrier: str, seqs: Sequence[int], now_ms: int) -> list[int]:
        """Bind jobs to their carrier, which may have them from now on; return those that are still to go there.

        In one step with the look: another process may lead them elsewhere, as long as nobody has them.
        """
        with self._transaction(of_jobs=False) as db:
            db.executemany(
                "UPDATE job SET tried_ms = ? WHERE seq = ? AND carrier = ? AND parked = '' AND tried_ms IS NULL",
                [(now_ms, seq, carrier) for seq in seqs],
            )
            rows = db.execute(
                "SELECT seq FROM job WHERE carrier = ? AND parked = '' AND seq BETWEEN ? AND ?",
                (carrier, min(seqs), max(seqs)),
            ).fetchall()
        wanted = set(seqs)
        return [seq for (seq,) in rows if seq in wanted]

    def done(self, seqs: Sequence[int]) -> None:
        """Remove jobs that their carrier has."""
        with self._transaction() as db:
            db.executemany("DELETE FROM job WHERE seq = ?", [(seq,) for seq in seqs])
            db.execute("UPDATE about SET flushed = flushed + ?", (len(seqs),))

    def park(self, seqs: Sequence[int], why: str) -> None:
        """Set jobs aside: they keep nobody waiting, and go nowhere before somebody decides."""
        with self._transaction() as db:
            db.executemany("UPDATE job SET parked = ? WHERE seq = ?", [(why, seq) for seq in seqs])

    def unpark(self, now_ms: int) -> int:
        """Let all parked jobs go to their carriers, whatever was the matter; return how many."""
        with self._transaction() as db:
            return db.execute(
                "UPDATE job SET parked = '', tried_ms = CASE WHEN tried_ms IS NULL THEN NULL ELSE ? END "
                "WHERE parked <> ''",
                (now_ms,),
            ).rowcount

    def drop_parked(self) -> int:
        """Forget all parked jobs; return how many."""
        with self._transaction() as db:
            return db.execute("DELETE FROM job WHERE parked <> ''").rowcount

    def rebind(self, seqs: Sequence[int], carrier: str) -> None:
        """Let jobs that were handed to nobody go to another carrier; the others stay bound."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE job SET carrier = ? WHERE seq = ? AND tried_ms IS NULL",
                [(carrier, seq) for seq in seqs],
            )

    # --- who brings them home -----------------------------------------------------------------------------------

    def take_lease(self, carrier: str, holder: str, ttl_ms: int, now_ms: int) -> bool:
        """Be the one process that brings the jobs of a carrier there, for so long; false: another one is.

        A lease that seems to last longer than any does was taken under a clock that has been set back since.
        """
        with self._transaction(of_jobs=False) as db:
            row = db.execute("SELECT holder, until_ms FROM lease WHERE carrier = ?", (carrier,)).fetchone()
            if row is not None and row[0] != holder and now_ms < row[1] <= now_ms + 2 * ttl_ms:
                return False
            db.execute(
                "INSERT OR REPLACE INTO lease (carrier, holder, until_ms) VALUES (?, ?, ?)",
                (carrier, holder, now_ms + ttl_ms),
            )
            return True

    def release(self, carrier: str, holder: str) -> None:
        """End the lease."""
        with self._transaction(of_jobs=False) as db:
            db.execute("DELETE FROM lease WHERE carrier = ? AND holder = ?", (carrier, holder))

    # --- what is told -------------------------------------------------------------------------------------------

    def note_breaker(self, seen: SeenBreaker, *, closed: bool) -> None:
        """Tell other processes of a breaker of this one; of those alone that are not closed."""
        with self._transaction(of_jobs=False) as db:
            if closed:
                db.execute("DELETE FROM breaker WHERE carrier = ? AND pid = ?", (seen.carrier, seen.pid))
            else:
                db.execute(
                    "INSERT OR REPLACE INTO breaker VALUES (?, ?, ?, ?, ?, ?)",
                    (seen.carrier, seen.pid, seen.state, seen.since_ms, seen.seen_ms, seen.why),
                )
            db.execute("DELETE FROM breaker WHERE seen_ms < ?", (seen.seen_ms - BREAKER_SEEN_MS,))

    def forget_breakers(self, pid: int) -> None:
        """Tell no more of the breakers of a process: it ends in order."""
        with self._transaction(of_jobs=False) as db:
            db.execute("DELETE FROM breaker WHERE pid = ?", (pid,))

    def contents(self, now_ms: int) -> Contents:
        """Return what there is."""
        with self._reading() as db:
            return read_contents(db, now_ms)

    # --- the file -----------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        db = self._usable()
        try:
            yield db
        except sqlite3.Error as error:
            raise self._failed(error) from error

    @contextmanager
    def _transaction(self, *, of_jobs: bool = True) -> Generator[sqlite3.Connection]:
        """Write; `of_jobs`: others are to look which queues hold any."""
        db = self._usable()
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            db.execute("COMMIT")
            if of_jobs and self._turn is not None:
                self._turn.give()
        except sqlite3.Error as error:
            if db.in_transaction:
                db.rollback()
            raise self._failed(error) from error

    def _usable(self) -> sqlite3.Connection:
        """Return the connection, to the file that the path names now."""
        db, check = self._db, self._check
        if db is None or check is None:
            msg = f"spool {self.path} is not open"
            raise SpoolError(msg)
        try:
            return db if check.loss(now=True) is None else self._renewed(db, check)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _renewed(self, db: sqlite3.Connection, check: FileCheck) -> sqlite3.Connection:
        """Make the file anew that was removed or replaced while it was open, with what it held: this process has it."""
        loss = check.loss(now=True)
        # Another process may have brought some of them home meanwhile, so they count as handed over.
        rows = db.execute(
            "SELECT id, carrier, queue, body, since_ms, coalesce(tried_ms, ?), parked FROM job ORDER BY seq",
            (round(time.time() * 1000),),
        ).fetchall()
        if loss is not None and loss.whole:
            check.identity.clear_away()
            fresh, turn = self._made_anew(rows)  # first: until it has them, the old connection alone does
            db.close()
        else:
            superseded = check.identity.superseded
            if not superseded:
                check.identity.save_log(db)
            holder = Holder(self.path) if superseded else None
            db.close()
            self._db = None
            if holder is not None:
                holder.end()
            fresh, turn = self._made_anew(rows)
        if self._turn is not None:
            self._turn.close()
        self._db, self._turn = fresh, turn
        self._check = FileCheck(self.path)
        self.openings += 1
        turn.give()
        said = "it was lost" if loss is None else loss.said
        _log.error(
            "spool %s: %s; it was made anew with the %d jobs that it held: leave it alone while processes have it open",
            self.path,
            said,
            len(rows),
        )
        return fresh

    def _made_anew(self, rows: list[tuple[object, ...]]) -> tuple[sqlite3.Connection, Turn]:
        """Open what the path names, made where there is nothing, and put these jobs in; SpoolError."""
        try:
            turn = Turn(self.path)
            db = connect(self.path, self._app)
        except ConfigError as error:
            raise SpoolError(str(error)) from error
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT INTO job (id, carrier, queue, body, since_ms, tried_ms, parked) VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET tried_ms = coalesce(tried_ms, excluded.tried_ms)",
                rows,
            )
            db.execute("COMMIT")
        except BaseException:
            db.close()
            turn.close()
            raise
        return db, turn

    def _failed(self, error: sqlite3.Error) -> SpoolError:
        text = str(error)
        if "full" in text:
            why = "the disk is full"
        elif "locked" in text or "busy" in text:
            why = f"another process has kept it locked for {BUSY_S:g} s"
        elif "readonly" in text:
            why = "it cannot be written: check who owns it and its folder"
        elif "malformed" in text or "not a database" in text:
            why = f"it is damaged ({text}): move it away, keep it, and start the processes of this host again"
        else:
            why = text
        return SpoolError(f"spool {self.path}: {why}")


def read_contents(db: sqlite3.Connection, now_ms: int) -> Contents:
    """Return what a spool holds."""
    rows = db.execute(
        "SELECT carrier, queue, parked, jobs, size FROM lane ORDER BY carrier, queue"
    ).fetchall()
    oldest = db.execute("SELECT since_ms FROM job WHERE parked = '' ORDER BY seq LIMIT 1").fetchone()
    flushed = db.execute("SELECT flushed FROM about").fetchone()
    breakers = db.execute(
        "SELECT carrier, pid, state, since_ms, seen_ms, why FROM breaker WHERE seen_ms >= ? ORDER BY carrier, pid",
        (now_ms - BREAKER_SEEN_MS,),
    ).fetchall()
    return Contents(
        lanes=tuple(
            LaneDepth(carrier, queue, jobs, size) for carrier, queue, parked, jobs, size in rows if not parked
        ),
        oldest_ms=None if oldest is None else oldest[0],
        parked=sum(jobs for _, _, parked, jobs, _ in rows if parked),
        size=sum(row[4] for row in rows),
        jobs=sum(row[3] for row in rows),
        flushed=0 if flushed is None else flushed[0],
        breakers=tuple(SeenBreaker(*row) for row in breakers),
    )
