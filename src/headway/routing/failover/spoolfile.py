"""The file of a spool: what is put in, taken out, counted. Blocking calls, for one thread at a time.

Every change is one transaction that waits for the disk. All processes of the host use the same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.errors import CodecError, SpoolError
from headway.routing.failover.contents import BREAKER_SEEN_MS, read_contents
from headway.routing.failover.database import Database
from headway.routing.failover.entries import Contents, Entry, SeenBreaker, decode, encode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from headway.job import JobId, NewJob

_MOST_BYTES: Final = 4 * 1024 * 1024  # of jobs in one batch


class Bounds:
    """How much a spool takes."""

    def __init__(self, jobs: int, size: int) -> None:
        """`size` is in bytes."""
        self.jobs = jobs
        self.size = size


class SpoolFile(Database):
    """One open spool. Each method may raise SpoolError, which says what is wrong with the file."""

    def __init__(self, path: Path, app: str, bounds: Bounds) -> None:
        super().__init__(path, app)
        self._bounds = bounds

    # --- jobs ---------------------------------------------------------------------------------------------------

    def put(self, carrier: str, jobs: Sequence[NewJob], *, tried_ms: int | None, now_ms: int) -> None:
        """Take all of the jobs or none, in their order; one that is there already stays as it is.

        `tried_ms`: since when the carrier may have them; None: it does not.
        """
        with self.transaction() as db:
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
        with self.reading() as db:
            rows = db.execute(
                "SELECT seq, id, body, since_ms, tried_ms, cancelled FROM job "
                "WHERE carrier = ? AND parked = '' AND seq > ? ORDER BY seq LIMIT ?",
                (carrier, behind, limit),
            ).fetchall()
        entries: list[Entry] = []
        size = 0
        for seq, job_id, body, since_ms, tried_ms, cancelled in rows:
            try:
                job = decode(body, job_id)
            except CodecError as error:
                self.park([seq], str(error))
                continue
            entries.append(Entry(seq, carrier, job, since_ms, tried_ms, cancelled=cancelled))
            size += len(body)
            if size > _MOST_BYTES:
                break
        return entries

    def parked(self, limit: int) -> list[tuple[str, str, str]]:
        """Return id, carrier and reason of parked jobs."""
        with self.reading() as db:
            return db.execute(
                "SELECT id, carrier, parked FROM job WHERE parked <> '' ORDER BY seq LIMIT ?", (limit,)
            ).fetchall()

    def find(self, ids: Iterable[JobId]) -> list[Entry]:
        """Return those of these jobs that are here."""
        found: list[Entry] = []
        with self.reading() as db:
            for job_id in ids:
                row = db.execute(
                    "SELECT seq, carrier, body, since_ms, tried_ms, parked, cancelled FROM job WHERE id = ?",
                    (job_id,),
                ).fetchone()
                if row is not None:
                    found.append(Entry(row[0], row[1], decode(row[2], job_id), *row[3:]))
        return found

    def hand_over(self, carrier: str, entries: Sequence[Entry], now_ms: int) -> list[Entry]:
        """Bind jobs to their carrier, which may have them from now on; return those that are still to go there.

        In one step with the look: another process may lead them elsewhere, or cancel them, as long as nobody has them.
        """
        with self.transaction(of_jobs=False) as db:
            db.executemany(
                "UPDATE job SET tried_ms = ? "
                "WHERE seq = ? AND carrier = ? AND parked = '' AND tried_ms IS NULL AND cancelled IS ?",
                [(now_ms, one.seq, carrier, one.cancelled) for one in entries],
            )
            rows = db.execute(
                "SELECT seq, cancelled FROM job WHERE carrier = ? AND parked = '' AND seq BETWEEN ? AND ?",
                (carrier, entries[0].seq, entries[-1].seq),
            ).fetchall()
        there = set(rows)
        return [one for one in entries if (one.seq, one.cancelled) in there]

    def done(self, seqs: Sequence[int], *, cancelled: bool = False) -> int:
        """Remove jobs that their carrier has; return how many.

        Those that were cancelled while they were brought stay, unless they have been cancelled there (`cancelled`).
        """
        with self.transaction() as db:
            removed = db.executemany(
                "DELETE FROM job WHERE seq = ? AND (? OR cancelled IS NULL)",
                [(seq, cancelled) for seq in seqs],
            ).rowcount
            db.execute("UPDATE about SET flushed = flushed + ?", (removed,))
            return removed

    def cancel(self, ids: Iterable[JobId], reason: str) -> dict[JobId, bool]:
        """See to it that these jobs do not run; return those that are here, with whether their carrier may have them.

        They stay here until their carrier knows that they are cancelled; those that were set aside are forgotten.
        """
        found: dict[JobId, bool] = {}
        with self.transaction() as db:
            for job_id in ids:
                row = db.execute("SELECT tried_ms, parked FROM job WHERE id = ?", (job_id,)).fetchone()
                if row is None:
                    continue
                found[job_id] = row[0] is not None
                if row[1]:
                    db.execute("DELETE FROM job WHERE id = ?", (job_id,))
                else:
                    db.execute(
                        "UPDATE job SET cancelled = coalesce(cancelled, ?) WHERE id = ?", (reason, job_id)
                    )
        return found

    def park(self, seqs: Sequence[int], why: str) -> None:
        """Set jobs aside: they keep nobody waiting, and go nowhere before somebody decides."""
        with self.transaction() as db:
            db.executemany("UPDATE job SET parked = ? WHERE seq = ?", [(why, seq) for seq in seqs])

    def unpark(self, now_ms: int) -> int:
        """Let all parked jobs go to their carriers, whatever was the matter; return how many."""
        with self.transaction() as db:
            return db.execute(
                "UPDATE job SET parked = '', tried_ms = CASE WHEN tried_ms IS NULL THEN NULL ELSE ? END "
                "WHERE parked <> ''",
                (now_ms,),
            ).rowcount

    def drop_parked(self) -> int:
        """Forget all parked jobs; return how many."""
        with self.transaction() as db:
            return db.execute("DELETE FROM job WHERE parked <> ''").rowcount

    def rebind(self, seqs: Sequence[int], carrier: str) -> None:
        """Let jobs that were handed to nobody go to another carrier; the others stay bound."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE job SET carrier = ? WHERE seq = ? AND tried_ms IS NULL",
                [(carrier, seq) for seq in seqs],
            )

    # --- who brings them home -----------------------------------------------------------------------------------

    def take_lease(self, carrier: str, holder: str, ttl_ms: int, now_ms: int) -> bool:
        """Be the one process that brings the jobs of a carrier there, for so long; false: another one is.

        A lease that seems to last longer than any does was taken under a clock that has been set back since.
        """
        with self.transaction(of_jobs=False) as db:
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
        with self.transaction(of_jobs=False) as db:
            db.execute("DELETE FROM lease WHERE carrier = ? AND holder = ?", (carrier, holder))

    # --- what is told -------------------------------------------------------------------------------------------

    def note_breaker(self, seen: SeenBreaker, *, closed: bool) -> None:
        """Tell other processes of a breaker of this one; of those alone that are not closed."""
        with self.transaction(of_jobs=False) as db:
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
        with self.transaction(of_jobs=False) as db:
            db.execute("DELETE FROM breaker WHERE pid = ?", (pid,))

    def contents(self, now_ms: int) -> Contents:
        """Return what there is."""
        with self.reading() as db:
            return read_contents(db, now_ms)
