"""Rows of the job table as values: a header for decisions, a delivery for a worker, a record for inspection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from msgspec import Struct

from headway.brokers.sqlite.file.parameters import id_list
from headway.brokers.sqlite.file.schema import STATES
from headway.job import Delivery, JobId, JobRecord, JobState, Lease, UniqueLock, UniqueMode, WorkerId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headway.brokers.sqlite.file.transaction import Transaction

Row = tuple[Any, ...]

INLINE_MAX: Final = 2048  # bytes of a payload kept in its job's row

_HEADER: Final = "seq, id, state, queue, worker, epoch, attempt, crashes, cancel, lock, reason"
_BATCH: Final = 10_000
# CROSS JOIN fixes the order of the loops: one look-up by id for each element.
_BY_ID: Final = (
    "SELECT seq, job.id, state, queue, worker, epoch, attempt, crashes, cancel, lock, reason "
    "FROM json_each(?) AS wanted CROSS JOIN job INDEXED BY job_id ON job.app = ? AND job.id = wanted.value"
)


class Header(Struct):
    """The columns that decide about a job. Mutable: an operation notes its changes for the rest of the batch."""

    COLUMNS: ClassVar[str] = _HEADER

    seq: int
    id: JobId
    state: int
    queue: str
    worker: WorkerId | None
    epoch: int
    attempt: int
    crashes: int
    cancel: int
    lock: str | None
    reason: str

    @classmethod
    def sound(cls, row: Row) -> tuple[Header, str]:
        """Make a header of a row, and say what is damaged in it; mostly nothing."""
        header = cls(*row)
        try:
            want(row, _HEADER_NAMES, _HEADER_KINDS)
        except DamagedRowError as error:
            numbers = (value if type(value) is int else 0 for value in (row[6], row[7], row[8]))
            header.attempt, header.crashes, header.cancel = numbers
            header.reason = header.reason if isinstance(row[10], str) else ""
            return header, str(error)
        return header, ""

    @classmethod
    def by_id(cls, tx: Transaction, ids: Sequence[str]) -> dict[str, Header]:
        """Return the headers of those of the jobs that are known."""
        found: dict[str, Header] = {}
        for start in range(0, len(ids), _BATCH):
            for row in tx.db.execute(_BY_ID, (id_list(ids[start : start + _BATCH]), tx.app)):
                header = cls(*row)
                found[header.id] = header
        return found


DELIVERY: Final = (
    "seq, id, priority, pos, task, queue, payload, attempt, epoch, crashes, expires_ms, history, cancel, lock, "
    "reason, due_ms"
)


class DamagedRowError(ValueError):
    """A stored row does not have the form that this code writes; it names the column."""


def want(row: Row, names: Sequence[str], kinds: Sequence[type | tuple[type, ...]]) -> None:
    """DamagedRowError names the first column that does not hold what it should."""
    for value, name, kind in zip(row, names, kinds, strict=True):
        if not isinstance(value, kind):
            msg = f"its stored record is damaged: column {name} holds {type(value).__name__}"
            raise DamagedRowError(msg)


_NONE: Final = type(None)
_HEADER_NAMES: Final = _HEADER.split(", ")
_HEADER_KINDS: Final = (int, str, int, str, (str, _NONE), int, int, int, int, (str, _NONE), str)
_DELIVERY_NAMES: Final = DELIVERY.split(", ")
_DELIVERY_KINDS: Final = (
    int, str, int, int, str, str, bytes, int, int, int, (int, _NONE), bytes, int, (str, _NONE), str,
    (int, _NONE)
)  # fmt: skip


def delivery(row: Row, worker: WorkerId) -> Delivery:
    """Make a delivery of a row of the DELIVERY columns; DamagedRowError."""
    want(row, _DELIVERY_NAMES, _DELIVERY_KINDS)
    (
        _,
        job_id,
        priority,
        _,
        task,
        queue,
        payload,
        attempt,
        epoch,
        crashes,
        expires_ms,
        history,
        cancel,
        _,
        _,
        due_ms,
    ) = row
    return Delivery(
        Lease(JobId(job_id), worker, epoch),
        task,
        queue,
        payload,
        priority,
        attempt,
        crashes,
        expires_ms,
        history,
        bool(cancel),
        due_ms,
    )


RECORD: Final = (
    "id, task, queue, state, priority, payload, attempt, epoch, crashes, due_ms, expires_ms, "
    "started_ms, since_ms, worker, "
    "key, result, history, reason, progress, message, cancel, withdrawn, held_as"
)
# The unique key of a job: the mode of its holder, the window, the key; of one that waits for the holder's end likewise.
_HELD_AS: Final = (
    "CASE WHEN lock IS NOT NULL THEN (SELECT CASE job.id WHEN held.held THEN 'keep_last|0|' "
    "WHEN held.holder THEN held.mode || '|' || (held.until_ms - held.since_ms) || '|' END || held.name "
    "FROM lock AS held WHERE held.app = job.app AND held.name = job.lock AND typeof(held.mode) = 'text' "
    "AND typeof(held.since_ms) = 'integer' AND typeof(held.until_ms) = 'integer') END AS held_as"
)
_RECORD_SELECT: Final = RECORD.replace(
    "payload", "coalesce(payload, (SELECT data FROM payload WHERE payload.seq = job.seq)) AS payload"
).replace("held_as", _HELD_AS)
_RECORD_NAMES: Final = RECORD.split(", ")
_INT_OR_NONE: Final = (int, _NONE)
_TEXT_OR_NONE: Final = (str, _NONE)
_RECORD_KINDS: Final = (
    str, str, str, int, int, bytes, int, int, int, _INT_OR_NONE, _INT_OR_NONE, _INT_OR_NONE, int, _TEXT_OR_NONE,
    _TEXT_OR_NONE, bytes, bytes, str, (float, int, _NONE), str, int, _TEXT_OR_NONE, _TEXT_OR_NONE,
)  # fmt: skip


def record(row: Row) -> JobRecord:
    """Make a record of a row of the RECORD columns; DamagedRowError."""
    want(row, _RECORD_NAMES, _RECORD_KINDS)
    code: int = row[3]
    if not 0 <= code < len(STATES):
        msg = f"its stored record is damaged: column state holds {code}"
        raise DamagedRowError(msg)
    state = STATES[code]
    gone = withdrawn_of(row)
    return JobRecord(
        id=JobId(row[0]),
        task=row[1],
        queue=row[2],
        state=state,
        priority=row[4],
        payload=row[5],
        attempt=row[6],
        epoch=row[7],
        crashes=row[8],
        due_ms=row[9],
        expires_ms=row[10],
        started_ms=row[11],
        finished_ms=row[12] if state.terminal else None,
        worker=row[13],
        key=row[14] if gone is None else gone.key,
        result=row[15],
        history=row[16],
        reason=row[17],
        progress=row[18],
        progress_message=row[19],
        cancel_requested=bool(row[20]),
        unique=_unique(row[22]) if gone is None else gone.unique,
        withdrawn=gone is not None,
    )


def _unique(held_as: str | None) -> UniqueLock | None:
    if held_as is None:
        return None
    mode, window, key = held_as.split("|", 2)
    if mode not in _MODES:
        return None  # of an older Headway, which did not keep it
    return UniqueLock(key, UniqueMode(mode), int(window) if mode == UniqueMode.THROTTLE else 0)


_MODES: Final = frozenset(mode.value for mode in UniqueMode)


class Withdrawn(Struct, frozen=True):
    """The state and keys of a job when it was withdrawn, kept beside its ended row."""

    state: JobState
    key: str | None
    unique: UniqueLock | None

    def text(self) -> str:
        """Write it."""
        return msgspec.json.encode(self).decode()


def withdrawn_of(row: Row) -> Withdrawn | None:
    """Read it from a row of the RECORD columns; None: the job was not withdrawn. DamagedRowError."""
    if row[21] is None:
        return None
    try:
        return _READ_WITHDRAWN(row[21])
    except (msgspec.MsgspecError, RecursionError) as error:
        msg = f"its stored record is damaged: column withdrawn: {error}"
        raise DamagedRowError(msg) from error


_READ_WITHDRAWN: Final = msgspec.json.Decoder(Withdrawn).decode


def records(db: sqlite3.Connection, where: str, parameters: Sequence[object]) -> list[Row]:
    """Select rows of the RECORD columns, each behind its row number."""
    statement = f"SELECT seq, {_RECORD_SELECT} FROM job {where}"  # noqa: S608 - constants only
    return db.execute(statement, parameters).fetchall()


def last_number(db: sqlite3.Connection, table: str) -> int:
    """Return the last number given out in a table, also when its row is gone."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0
