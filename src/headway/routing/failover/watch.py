"""Whether jobs of a queue are in the spool, put there by whichever process of this host: asked before each enqueue."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from headway.routing.failover.schema import connect_to_read
from headway.routing.failover.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headway.routing.failover.entries import Lane

_UNKNOWN: Final = -1


class Watch:
    """A copy of which lanes hold jobs, read anew when a process gives the sign. For any thread.

    Jobs of a lane that the spool holds must not be overtaken by later ones of this host.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._turn: Turn | None = None
        self._seen = b""
        self._version = _UNKNOWN
        self._lanes: frozenset[Lane] = frozenset()
        self._carriers: frozenset[str] = frozenset()
        self._anything = False

    def open(self) -> None:
        """Look at the file; it must be there. Also at another one, after the first was lost. ConfigError."""
        with self._lock:
            self._end()
            self._db = connect_to_read(self._path)
            self._turn = Turn(self._path)
            self._read()

    def close(self) -> None:
        """Look no more."""
        with self._lock:
            self._end()
            self._lanes = frozenset()
            self._carriers = frozenset()
            self._anything = False

    @property
    def waits(self) -> bool:
        """Whether any job waits in the spool."""
        self._look()
        return bool(self._lanes)

    def holds(self, carrier: str, queue: str) -> bool:
        """Tell whether jobs of this lane are in the spool."""
        return self.waits and (carrier, queue) in self._lanes

    def held(self, carrier: str, queues: Iterable[str]) -> frozenset[str]:
        """Return those of the queues whose lanes hold jobs."""
        if not self.waits:
            return frozenset()
        return frozenset(queue for queue in queues if (carrier, queue) in self._lanes)

    def has(self, carrier: str) -> bool:
        """Tell whether jobs of this carrier are in the spool."""
        self._look()
        return carrier in self._carriers

    @property
    def anything(self) -> bool:
        """Whether any job is in the spool, parked ones too."""
        self._look()
        return self._anything

    def refresh(self) -> None:
        """Ask the file itself: a process may have died between its commit and the sign."""
        with self._lock:
            self._read()

    def _look(self) -> None:
        turn = self._turn
        if turn is not None and turn.read() != self._seen:
            self.refresh()

    def _read(self) -> None:
        db, turn = self._db, self._turn
        if db is None or turn is None:
            return
        seen = turn.read()  # first: what is committed later gives another sign
        try:
            (version,) = db.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                rows = db.execute("SELECT carrier, queue, parked FROM lane").fetchall()
                self._lanes = frozenset((carrier, queue) for carrier, queue, parked in rows if not parked)
                self._carriers = frozenset(carrier for carrier, _ in self._lanes)
                self._anything = bool(rows)
                self._version = version
            self._seen = seen
        except sqlite3.Error:
            # What was known counts: whoever puts jobs in says what is wrong with the file.
            self._version = _UNKNOWN

    def _end(self) -> None:
        if self._db is not None:
            self._db.close()
        if self._turn is not None:
            self._turn.close()
        self._db = self._turn = None
        self._version = _UNKNOWN
