"""Reading: records, logs, pages, counts, workers. Each function takes a connection that cannot write."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.brokers.base import JobPage, LogLine, QueueCounts, WorkerRecord
from headway.brokers.sqlite.file.parameters import id_list, is_text, seq_list
from headway.brokers.sqlite.file.schema import COMPLETED, READY, RUNNING, SCHEDULED, STATES
from headway.brokers.sqlite.file.ticks import OF_CLOCK, tick_ms
from headway.brokers.sqlite.presence import present
from headway.brokers.sqlite.records import (
    DamagedRowError,
    Row,
    record,
    records,
    want,
)
from headway.errors import ConfigError
from headway.job import WorkerId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headway.brokers.base import JobQuery
    from headway.clock import Clock
    from headway.job import JobId, JobRecord, JobState

_log: Final = logging.getLogger("headway.sqlite")

LIMIT_MAX: Final = 1000
_NUMBER: Final = re.compile("[0-9]{1,19}")


def _sound(rows: Sequence[Row]) -> list[JobRecord]:
    sound: list[JobRecord] = []
    for row in rows:
        try:
            sound.append(record(row[1:]))
        except DamagedRowError as error:
            _log.warning("job %s is left out: %s", row[1], error)
    return sound


def get(db: sqlite3.Connection, app: int, ids: Sequence[JobId]) -> list[JobRecord | None]:
    """Return the records, in the order of the ids."""
    found: dict[str, JobRecord] = {}
    for start in range(0, len(ids), LIMIT_MAX):
        batch = ids[start : start + LIMIT_MAX]
        rows = records(db, "WHERE app = ? AND id IN (SELECT value FROM json_each(?))", (app, id_list(batch)))
        found |= {job.id: job for job in _sound(rows)}
    return [found.get(job_id) for job_id in ids]


def logs(db: sqlite3.Connection, app: int, job_id: JobId) -> list[LogLine]:
    """Return the job's log, oldest line first."""
    if not is_text(job_id):
        return []
    rows = db.execute(
        "SELECT at_ms, level, message FROM log WHERE seq = (SELECT seq FROM job WHERE app = ? AND id = ?) ORDER BY n",
        (app, job_id),
    )
    lines: list[LogLine] = []
    for row in rows:
        try:
            want(row, LogLine.__struct_fields__, (int, str, str))
        except DamagedRowError as error:
            _log.warning("a line in the log of job %s is left out: %s", job_id, error)
        else:
            lines.append(LogLine(*row))
    return lines


def page(db: sqlite3.Connection, app: int, query: JobQuery, after: str | None, limit: int) -> JobPage:
    """List matching jobs.

    One terminal state: the last to complete come first. Otherwise the newest rows first. The cursor names the order and
    the last place in it.
    """
    limit = max(1, min(limit, LIMIT_MAX))
    only = query.states[0] if len(set(query.states)) == 1 else None
    by_completion = only is not None and only.terminal
    column = "pos" if by_completion else "seq"
    index = _index(query.states)
    # The plus keeps the planner from looking up by app and sorting, where walking the rows backwards is in order.
    conditions = [f"{'' if index else '+'}app = ? AND {column} < ?"]
    parameters: list[object] = [app, _place(after, "f" if by_completion else "n")]
    if query.states:
        codes = sorted({STATES.index(state) for state in query.states})
        conditions.append(" OR ".join(f"state = {code}" for code in codes).join("()"))
        if by_completion:
            conditions.append(COMPLETED)
    if query.queues:
        conditions.append("queue IN (SELECT value FROM json_each(?))")
        parameters.append(id_list(query.queues))
    if query.tasks:
        conditions.append("task IN (SELECT value FROM json_each(?))")
        parameters.append(id_list(query.tasks))
    if query.search:
        conditions.append("(instr(lower(id), ?) OR instr(fold(task), ?) OR instr(fold(key), ?))")
        parameters += [query.search.casefold()] * 3
    # First the row numbers, from the index where it suffices; then the records of this page only.
    places = db.execute(
        f"SELECT seq, {column} FROM job {index} "  # noqa: S608 - constants only, values are parameters
        f"WHERE {' AND '.join(conditions)} ORDER BY {column} DESC LIMIT ?",
        (*parameters, limit + 1),
    ).fetchall()
    shown = places[:limit]
    seqs = seq_list([seq for seq, _ in shown])
    rows = {row[0]: row for row in records(db, "WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))}
    jobs = _sound([rows[seq] for seq, _ in shown if seq in rows])
    more = len(places) > limit
    return JobPage(jobs, f"{'f' if by_completion else 'n'}{int(shown[-1][1])}" if more else None)


def _index(states: Sequence[JobState]) -> str:
    """Name the partial index of the wanted jobs, where the planner would read the whole table instead."""
    codes = {STATES.index(state) for state in states}
    if len(codes) != 1:
        return ""
    code = codes.pop()
    return f"INDEXED BY {_LIVE_INDEXES.get(code, 'job_done')}"


_LIVE_INDEXES: Final = {SCHEDULED: "job_scheduled", READY: "job_ready", RUNNING: "job_running"}


def _place(after: str | None, order: str) -> int:
    if after is None:
        return 2**63 - 1
    if not (after[:1] == order and _NUMBER.fullmatch(after[1:])):
        msg = f"{after!r} is not a cursor of this list: give back the cursor of the page before, with the same query"
        raise ConfigError(msg)
    return min(int(after[1:]), 2**63 - 1)


def counts(db: sqlite3.Connection, app: int, queues: Sequence[str] | None) -> list[QueueCounts]:
    """Count by state; each query reads one index and no row."""
    by_queue: dict[str, dict[JobState, int]] = {}
    oldest: dict[str, int] = {}
    for queue, code, number, since in db.execute(
        "SELECT queue, 1, count(*), min(since_ms) FROM job INDEXED BY job_ready WHERE app = ?1 AND "
        "state = 1 GROUP BY queue "
        "UNION ALL SELECT queue, 0, count(*), 0 FROM job INDEXED BY job_scheduled WHERE app = ?1 AND "
        "state = 0 GROUP BY queue "
        "UNION ALL SELECT queue, 2, count(*), 0 FROM job INDEXED BY job_running WHERE app = ?1 AND "
        "state = 2 GROUP BY queue "
        "UNION ALL SELECT queue, state, count(*), 0 FROM job INDEXED BY job_done WHERE app = ?1 AND +state > 2 "
        "GROUP BY queue, state",
        (app,),
    ):
        if not isinstance(queue, str) or not isinstance(code, int) or not 0 <= code < len(STATES):
            continue
        by_queue.setdefault(queue, {})[STATES[code]] = number
        if code == READY:
            oldest[queue] = since if isinstance(since, int) else 0
    stopped = paused(db, app)
    names = set(queues) if queues is not None else by_queue.keys() | stopped
    return [
        QueueCounts(name, name in stopped, by_queue.get(name, {}), oldest.get(name)) for name in sorted(names)
    ]


def paused(db: sqlite3.Connection, app: int) -> frozenset[str]:
    """Return the paused queues."""
    rows = db.execute("SELECT queue FROM paused WHERE app = ?", (app,))
    return frozenset(queue for (queue,) in rows if isinstance(queue, str))


def workers(db: sqlite3.Connection, app: int, clock: Clock) -> list[WorkerRecord]:
    """Return the workers that hold jobs or listen for some, sorted by name."""
    return workers_at(db, app, clock.now_ms(), tick_ms(clock))


def workers_at(db: sqlite3.Connection, app: int, now: int, tick: int) -> list[WorkerRecord]:
    """Return them, by the two clocks: that of jobs and that of leases."""
    rows = db.execute(
        "SELECT worker, until_ms, (SELECT count(*) FROM job INDEXED BY job_running "
        "WHERE job.app = lease.app AND state = 2 AND job.worker = lease.worker) FROM lease WHERE app "
        "= ? ORDER BY worker",
        (app,),
    )
    found = {
        one.id: WorkerRecord(one.id, None, 0, one.queues, one.since_ms) for one in present(db, app, tick)
    }
    for name, until_ms, holds in rows:
        if holds and isinstance(name, str):
            worker = WorkerId(name)
            lease = _instant(until_ms, now - tick)
            found[worker] = replace(
                found.get(worker, WorkerRecord(worker, None, 0)), lease_until_ms=lease, holds=holds
            )
    for (name,) in db.execute("SELECT worker FROM drain WHERE app = ?", (app,)):
        if isinstance(name, str) and (one := found.get(WorkerId(name))) is not None:
            found[one.id] = replace(one, draining=True)
    return [found[worker] for worker in sorted(found)]


def _instant(until_ms: object, ahead: int) -> int:
    if not isinstance(until_ms, int):
        return 0  # damaged: maintenance puts it right
    return until_ms if until_ms >= OF_CLOCK else until_ms + ahead
