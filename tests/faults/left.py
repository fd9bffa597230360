"""What a carrier still keeps when all jobs were removed: each thing that may stay is named here, with the reason."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Final

from headway.job import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from headway.brokers.base import Store
    from tests.servers import RedisServer

_REDIS_KEEPS: Final = {
    r"kinds|kindof|kindgen": "the numbers of tasks and queues, of which there are few",
    r"done:(base|stale)": "counters",
    r"ev(:on)?": "events, capped, and that somebody watches",
    r"at|hand|idle:.*|classes|[cq][qc]:.*": "who idles: for as long as a worker lives",
    r"act:.*": "the answer of an act by hand, which the server forgets after a minute",
    r"drains": "requests to drain to workers that died with their supervisor; the server forgets them within a day",
    r"watched|deputy": "marks that the server forgets by itself, within a lease",
    r"u|ux": "throttled keys, until their window ends",
    r"control(:.*)?": "control documents, and who held a lease on one: they steer the app, whatever jobs it has",
    r"fig(:.*)?": "sums of what happened, for 30 days; the server forgets them by itself",
    r"fire": "the last fire time of each schedule",
    r"logged|sched:.*|schedules": "declared schedules",
    r"sch:(made|gone)": "schedules made at run time, and for a month what is left of deleted ones",
}
_SQLITE_KEEPS: Final = {
    "app": "a row for each app",
    "worker": "workers that were there within two and a half minutes; the next that claims drops the others",
    "event": "events, capped",
    "drain": "requests to drain to workers that died with their supervisor, for a day",
    "signal": "signals of the last ten minutes",
    "lock": "throttled keys, until their window ends",
    "schedule": "declared schedules, and their last fire time",
    "made_schedule": "schedules made at run time, and for a month what is left of deleted ones",
    "control": "control documents: they steer the app, whatever jobs it has",
    "control_lease": "who held a lease on one last: the next token must be higher",
    "figures": "sums of what happened, for 30 days, whatever jobs are still there",
    "figures_source": "which process has written which of them, for two days",
    "sqlite_sequence": "SQLite's own",
}


async def clean_all(carrier: Store) -> None:
    """Remove every job."""
    for row in await carrier.counts():
        await carrier.drain(row.queue)
    for state in JobState:
        while state.terminal and await carrier.clean(state, older_than_ms=-1000):
            pass
    await carrier.counts()


def left_in_redis(server: RedisServer, namespace: str) -> list[str]:
    """Return the keys that nobody can explain."""
    start = f"hw:{{{namespace}}}:"
    keys = server.call("KEYS", start.replace("{", "[{]").replace("}", "[}]") + "*")
    assert isinstance(keys, list)
    names = sorted(str(key).removeprefix(start) for key in keys)
    known = re.compile("|".join(f"(?:{pattern})" for pattern in _REDIS_KEEPS))
    return [name for name in names if not known.fullmatch(name)]


def left_in_sqlite(path: Path) -> list[str]:
    """Return the tables that hold rows which nobody can explain."""
    with sqlite3.connect(path) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        held = {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}  # noqa: S608
    db.close()
    return [f"{name}: {count} rows" for name, count in held.items() if count and name not in _SQLITE_KEEPS]
