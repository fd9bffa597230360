"""Which workers are there, also those that hold nothing: each notes itself now and then with a claim."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.brokers.sqlite.file.ticks import boot, machine_ms
from headway.job import WorkerId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headway.brokers.sqlite.file.transaction import Transaction

_NOTED_MS: Final = 30_000  # between two notes of a worker; it claims once a minute, whatever happens
_KEPT_MS: Final = 150_000  # after which a worker that was not noted again is gone


class Present(NamedTuple):
    """A worker that was there not long ago, the queues it asks for, and since when."""

    id: WorkerId
    queues: tuple[str, ...]
    since_ms: int


class Presence:
    """When the workers of this process were noted last."""

    def __init__(self) -> None:
        """No worker was noted yet."""
        self._noted: dict[WorkerId, int] = {}

    def is_due(self, worker: WorkerId) -> bool:
        """Tell whether to note the worker now, and count it as noted."""
        now = machine_ms()
        if now - self._noted.get(worker, -_NOTED_MS) < _NOTED_MS:
            return False
        self._noted[worker] = now
        return True

    def forget(self, worker: WorkerId) -> None:
        """Forget when the worker was noted: it is gone."""
        self._noted.pop(worker, None)


def note(tx: Transaction, worker: WorkerId, queues: Sequence[str]) -> None:
    """Write that a worker is there, and remove those that are gone."""
    tx.db.execute(
        "DELETE FROM worker WHERE app = ? AND (until_ms <= ? OR boot != ?)", (tx.app, tx.tick, boot())
    )
    tx.db.execute(
        "INSERT INTO worker (app, name, queues, since_ms, until_ms, boot) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (app, name) DO UPDATE SET queues = excluded.queues, until_ms = excluded.until_ms",
        (tx.app, worker, json.dumps(sorted(queues)), tx.now, tx.tick + _KEPT_MS, boot()),
    )


def forget(tx: Transaction, worker: WorkerId) -> None:
    """Drop a worker that is gone for good."""
    tx.db.execute("DELETE FROM worker WHERE app = ? AND name = ?", (tx.app, worker))


def present(db: sqlite3.Connection, app: int, tick: int) -> list[Present]:
    """Return the workers that are there."""
    rows = db.execute(
        "SELECT name, queues, since_ms FROM worker WHERE app = ? AND until_ms > ? AND boot = ?",
        (app, tick, boot()),
    )
    return [Present(WorkerId(name), _queues(queues), since) for name, queues, since in rows]


def _queues(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(queue) for queue in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return ()  # damaged: it is noted anew within a minute
