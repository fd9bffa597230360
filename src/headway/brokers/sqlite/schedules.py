"""The declared schedules of the app, and their last fire times."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.base import ScheduleRecord
from headway.brokers.sqlite.records import DamagedRowError, want
from headway.schedules.fires import MAX_AHEAD_MS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import Fire


_log: Final = logging.getLogger("headway.sqlite")


def declare(tx: Transaction, schedules: Sequence[ScheduleRecord]) -> None:
    """Declare these and remove the others; their last fire times stay, lest one is fired again after a redeploy."""
    before = {
        name
        for (name,) in tx.db.execute("SELECT name FROM schedule WHERE app = ? AND declared = 1", (tx.app,))
    }
    gone = before - {schedule.name for schedule in schedules}
    tx.db.executemany(
        "UPDATE schedule SET declared = 0, paused = 0 WHERE app = ? AND name = ?",
        [(tx.app, name) for name in gone],
    )
    tx.db.executemany(
        "INSERT INTO schedule (app, name, declared, spec, task, paused, last_fire_ms, declared_ms) "
        "VALUES (?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT (app, name) DO UPDATE SET spec = excluded.spec, "
        "task = excluded.task, declared_ms = excluded.declared_ms, last_fire_ms = "
        "coalesce(last_fire_ms, excluded.last_fire_ms), "
        "paused = CASE WHEN declared THEN paused ELSE excluded.paused END, declared = 1",
        [
            (
                tx.app,
                schedule.name,
                schedule.spec,
                schedule.task,
                schedule.paused,
                schedule.last_fire_ms,
                schedule.declared_ms,
            )
            for schedule in schedules
        ],
    )


def pause(tx: Transaction, name: str, *, paused: bool) -> bool:
    """Pause or resume; false when there is no such schedule."""
    changed = tx.db.execute(
        "UPDATE schedule SET paused = ? WHERE app = ? AND name = ? AND declared = 1", (paused, tx.app, name)
    ).rowcount
    return changed == 1


def skip_fire(tx: Transaction, fire: Fire) -> None:
    """Advance the last fire without a job, as far as the present: what lies behind it is not skipped yet."""
    tx.db.execute(
        "INSERT INTO schedule (app, name, last_fire_ms) VALUES (?, ?, ?) ON CONFLICT (app, name) DO UPDATE "
        "SET last_fire_ms = excluded.last_fire_ms, last_job = NULL "
        "WHERE last_fire_ms IS NULL OR last_fire_ms < excluded.last_fire_ms OR last_fire_ms > ?",
        (tx.app, fire.schedule, min(fire.at_ms, tx.now), tx.now + MAX_AHEAD_MS),
    )


def read(db: sqlite3.Connection, app: int) -> list[ScheduleRecord]:
    """Return the declared schedules, sorted by name."""
    rows = db.execute(
        "SELECT name, spec, task, paused, last_fire_ms, declared_ms FROM schedule WHERE app = ? AND declared = 1 "
        "ORDER BY name",
        (app,),
    )
    records: list[ScheduleRecord] = []
    for row in rows:
        try:
            want(row, _NAMES, _KINDS)
        except DamagedRowError as error:
            _log.warning("schedule %a is left out: %s", row[0], error)
        else:
            records.append(ScheduleRecord(row[0], row[1], row[2], bool(row[3]), row[4], row[5]))
    return records


_NAMES: Final = ("name", "spec", "task", "paused", "last_fire_ms", "declared_ms")
_KINDS: Final = (str, str, str, int, (int, type(None)), int)
