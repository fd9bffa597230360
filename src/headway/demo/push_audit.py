"""What became of each job in the guard's store, noted by the database itself: no process can forget to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from headway.events import Event, EventKind
from headway.guards.base import Entry
from headway.guards.document import from_entry
from headway.guards.stores.sqlite import SqliteStore
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headway.guards.document import Document
    from headway.job import JobId

_AUDIT: Final = "CREATE TABLE audit (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, data BLOB NOT NULL)"
_ON_INSERT: Final = (
    "CREATE TRIGGER audit_insert AFTER INSERT ON guard WHEN NEW.key LIKE 'job/%' "
    "BEGIN INSERT INTO audit (at_ms, data) VALUES (NEW.changed_ms, NEW.data); END"
)
_ON_UPDATE: Final = (
    "CREATE TRIGGER audit_update AFTER UPDATE ON guard WHEN NEW.key LIKE 'job/%' "
    "BEGIN INSERT INTO audit (at_ms, data) VALUES (NEW.changed_ms, NEW.data); END"
)
_COUNTS: Final = "SELECT grp, tag, COUNT(*) FROM guard WHERE key LIKE 'job/%' GROUP BY grp, tag"
_ENDED: Final = {
    JobState.SUCCEEDED: EventKind.SUCCEEDED,
    JobState.FAILED: EventKind.FAILED,
    JobState.CANCELLED: EventKind.CANCELLED,
    JobState.EXPIRED: EventKind.EXPIRED,
}


class Audit:
    """Looks into the guard's file, beside the receivers that write it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def begin(self, namespace: str) -> None:
        """Create the guard's file, with triggers that note each change of a job."""
        store = SqliteStore(f"sqlite:///{self._file}", namespace=namespace)
        await store.open()
        await store.close()
        with closing(self._connect()) as db, db:
            for statement in (_AUDIT, _ON_INSERT, _ON_UPDATE):
                db.execute(statement)

    def counts(self) -> dict[tuple[str, JobState], int]:
        """Count the jobs that were delivered at least once, by queue and state."""
        with closing(self._connect()) as db:
            return {(queue, JobState(tag)): count for queue, tag, count in db.execute(_COUNTS)}

    def events(self) -> list[Event]:
        """Return what the changes mean, in their order."""
        with closing(self._connect()) as db:
            rows = db.execute("SELECT number, at_ms, data FROM audit ORDER BY number").fetchall()
        before: dict[JobId, Document] = {}
        found: list[Event] = []
        for number, at_ms, data in rows:
            after = from_entry(Entry("", 0, "", "", at_ms, None, data))
            found += [
                Event(str(number), kind, after.id, at_ms, after.queue, after.epoch)
                for kind in kinds(before.get(after.id), after)
            ]
            before[after.id] = after
        return found

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=10.0)


def kinds(before: Document | None, after: Document) -> Iterator[EventKind]:
    """Say what happened between two states of a job; nothing for a lease that was renewed."""
    if before is None:
        yield EventKind.ENQUEUED
    if after.state.terminal:
        # Also of one that had ended before: this is what must not happen, and has to be seen.
        yield _ENDED[after.state]
    elif after.state is JobState.RUNNING:
        if before is None or before.epoch != after.epoch:
            if before is not None and before.crashes != after.crashes:
                yield EventKind.RECLAIMED
            yield EventKind.STARTED
    elif before is not None and before.state is JobState.RUNNING:
        yield EventKind.RELEASED if before.turn == after.turn else EventKind.RETRY
