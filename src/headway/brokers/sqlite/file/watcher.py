"""The thread that notices changes in the file, by any process.

`PRAGMA data_version` tells at the price of a few microseconds whether any other connection has committed. It
is asked every millisecond for a while after a change (a few percent of a core) and ever more rarely up to every 40 ms
while nothing happens (below half a percent); commits of this process are announced, and seen at once. While nobody
listens the thread sleeps.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.sqlite.file.connection import connect
from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable

    from headway.brokers.sqlite.file.openfile import OpenFile
    from headway.brokers.sqlite.location import Location

_log: Final = logging.getLogger("headway.sqlite")

_SHORTEST_S: Final = 0.001
_ALERT_S: Final = 0.1  # after a change: where ten jobs a second come, each is noticed within a millisecond
_LONGEST_S: Final = 0.040
_GROWTH: Final = 1.1
_AFTER_ERROR_S: Final = 0.5
_GATHER_S: Final = 0.001  # a busy writer is not looked at after each of its commits


class SignalRow(Struct, frozen=True):
    """Something for a worker: `job` was asked to be cancelled (none: to drain), or (None) its lease was lost."""

    seq: int
    worker: str
    job: str | None


class Change(Struct, frozen=True):
    """What changed since the last look. `gap`: jobs may have ended or gone unseen, look at each that matters."""

    wake: int
    signals: list[SignalRow]
    finished: list[str]
    gap: bool


class Watcher:
    """Looks for changes while it is wanted, and reports them on the loop's thread."""

    def __init__(
        self,
        location: Location,
        file: OpenFile,
        app: int,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Change], None],
    ) -> None:
        """Prepare the thread; it starts with the first `want(True)`."""
        self._location = location
        self._file = file
        self._app = app
        self._loop = loop
        self._report = report
        self._news = threading.Event()
        self._wanted = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._version = -1
        self._tail: int = 0
        self._gone: int = 0
        self._signal: int = 0

    def want(self, *, wanted: bool) -> None:
        """Begin to look, or stop looking."""
        if not wanted:
            self._wanted.clear()
            return
        self._wanted.set()
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self._run, name="headway-sqlite-watcher", daemon=True)
            self._thread.start()

    def nudge(self) -> None:
        """Look now: this process has committed. May be called from any thread."""
        self._news.set()

    def stop(self) -> threading.Thread | None:
        """End the thread; the caller joins it, off the loop."""
        self._ended = True
        self._wanted.set()
        self._news.set()
        return self._thread

    def _run(self) -> None:
        while not self._ended:
            try:
                db = connect(self._location, reader=True)
                try:
                    self._watch(db)
                finally:
                    db.close()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever befalls the file
                _log.warning("%s: cannot look for changes: %s", self._location.name, error)
                time.sleep(_AFTER_ERROR_S)

    def _watch(self, db: sqlite3.Connection) -> None:
        interval, changed = _SHORTEST_S, 0.0
        gap = True
        while not self._ended:
            if not self._wanted.is_set():
                self._wanted.wait()
                gap = True
            self._news.clear()
            try:
                self._file.verify()
            except BrokerUnavailableError:
                self._ended = True  # the next opening has a watcher of its own
                return
            version: int = db.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version or gap:
                # The version first: a commit between the two statements shows at the next look.
                self._version = version
                self._tell(self._look(db, gap=gap))
                gap = False
                time.sleep(_GATHER_S)
                interval, changed = _SHORTEST_S, time.monotonic()
            elif time.monotonic() - changed > _ALERT_S:
                interval = min(interval * _GROWTH, _LONGEST_S)
            self._news.wait(interval)

    def _look(self, db: sqlite3.Connection, *, gap: bool) -> Change:
        db.execute("BEGIN")
        try:
            counters = db.execute("SELECT tail, wake, gone FROM app WHERE id = ?", (self._app,)).fetchone()
            # The next process that writes mends what is damaged.
            tail, wake, gone = (value if isinstance(value, int) else 0 for value in counters)
            signals = [
                SignalRow(*row)
                for row in db.execute(
                    "SELECT seq, worker, job FROM signal WHERE app = ? AND seq > ? ORDER BY seq",
                    (self._app, self._signal),
                )
            ]
            finished: list[str] = []
            if tail != self._tail and not gap:
                # `tail` numbers completions as well as places, and each terminal state has its part of the index.
                for state in (3, 4, 5, 6):
                    finished += [
                        job_id
                        for (job_id,) in db.execute(
                            "SELECT id FROM job INDEXED BY job_done WHERE app = ? AND +state > 2 AND "
                            "state = ? AND pos > ?",
                            (self._app, state, self._tail),
                        )
                    ]
        finally:
            db.execute("ROLLBACK")
        unseen = gap or gone != self._gone
        self._tail, self._gone = tail, gone
        if signals:
            self._signal = signals[-1].seq
        return Change(wake, signals, finished, unseen)

    def _tell(self, change: Change) -> None:
        try:
            self._loop.call_soon_threadsafe(self._report, change)
        except RuntimeError:
            self._ended = True  # the loop is closed: nobody listens any more
