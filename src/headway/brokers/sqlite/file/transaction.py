"""One write transaction: the present instant, the app's counters, and the events to be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.sqlite.file.counters import COUNTERS, counted_anew
from headway.brokers.sqlite.file.stall import Stall
from headway.brokers.sqlite.file.ticks import machine_ms, tick_ms

if TYPE_CHECKING:
    import sqlite3

    from headway.brokers.base import BrokerSettings
    from headway.brokers.sqlite.file.stall import Asked
    from headway.clock import Clock
    from headway.events import EventKind
    from headway.job import JobId, WorkerId

_NUMBERS: Final = {int}
_EventRow = tuple[int, str, str, int, str, int, str | None, int]
_Counters = tuple[int, int, int, int, int]


class Transaction:
    """The transaction that operations write in. Counters and events are written at its end, by one statement each."""

    def __init__(
        self, db: sqlite3.Connection, app: int, settings: BrokerSettings, clock: Clock, asked: Asked
    ) -> None:
        """Read the counters; the transaction has begun. `asked`: when it was asked for."""
        row = db.execute(COUNTERS, (app,)).fetchone()
        if set(map(type, row)) != _NUMBERS:
            row = counted_anew(db, app)
        self.db = db
        self.app = app
        self.settings = settings
        self._clock = clock
        self._asked = asked
        self.now = clock.now_ms()
        self.tick = tick_ms(clock)  # leases end by this
        self.tail: int = row[0]
        self.head: int = row[1]
        self.wake: int = row[2]
        self.gone: int = row[3]
        self.kept: int = row[4]
        self._counters = self._count()
        # Presence of watchers is about this machine's time, whatever clock the jobs live by.
        self.recording = settings.record_events or row[5] > machine_ms()
        self.stall = Stall(*row[6:9])
        if asked.is_long_ago:
            self.stall = self.stall.extended(asked, self.tick)
        self._events: list[_EventRow] = []

    def _count(self) -> _Counters:
        return self.tail, self.head, self.wake, self.gone, self.kept

    def places_before(self, count: int) -> int:
        """Return the first of so many numbers before all others, which follow each other: places at the head."""
        self.head -= count
        return self.head

    def next_place(self) -> int:
        """Return the number behind all others: a place at the tail, or the number of a completion."""
        self.tail += 1
        return self.tail

    def event(  # noqa: PLR0917 - the columns, called for each job
        self,
        kind: EventKind,
        job_id: JobId,
        queue: str = "",
        epoch: int = 0,
        worker: WorkerId | None = None,
        attempt: int = 0,
    ) -> None:
        """Record an event, if events are watched."""
        if self.recording:
            self._events.append((self.app, kind.value, job_id, self.now, queue, epoch, worker, attempt))

    def mark(self) -> tuple[_Counters, int]:
        """Remember where the counters and events are, for `restore`."""
        return self._count(), len(self._events)

    def restore(self, mark: tuple[_Counters, int]) -> None:
        """Forget what was counted and recorded since the mark."""
        (self.tail, self.head, self.wake, self.gone, self.kept), events = mark
        del self._events[events:]

    def flush(self) -> None:
        """Write the counters, the events, and any long wait for the file."""
        if self._asked.is_long_ago:
            self.stall.extended(self._asked, tick_ms(self._clock)).write(self.db)
        if (counters := self._count()) != self._counters:
            self.db.execute(
                "UPDATE app SET tail = ?, head = ?, wake = ?, gone = ?, kept = ? WHERE id = ?",
                (*counters, self.app),
            )
        if self._events:
            self.db.executemany(
                "INSERT INTO event (app, kind, job, at_ms, queue, epoch, worker, attempt) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                self._events,
            )
