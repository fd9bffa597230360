"""Control documents and their leases, in tables of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.sqlite.file.ticks import boot
from headway.brokers.sqlite.records import DamagedRowError, want
from headway.control import ControlDocument, Fence
from headway.errors import BrokerRefusedError

if TYPE_CHECKING:
    import sqlite3

    from headway.brokers.sqlite.file.transaction import Transaction

_NAMES: Final = ("version", "body", "changed_ms")
_KINDS: Final = (int, bytes, int)
_LEASE_NAMES: Final = ("token", "holder", "until_ms", "boot")
_LEASE_KINDS: Final = (int, str, int, str)


def read(db: sqlite3.Connection, app: int, name: str, newer_than: int, now_ms: int) -> ControlDocument | None:
    """Return the document unless it still has that version."""
    found = history(db, app, name, 1, now_ms)
    return found[0] if found and found[0].version != newer_than else None


def history(db: sqlite3.Connection, app: int, name: str, limit: int, now_ms: int) -> list[ControlDocument]:
    """Return the last versions of the document, the present one first."""
    rows = db.execute(
        "SELECT version, body, changed_ms FROM control WHERE app = ? AND name = ? ORDER BY version DESC LIMIT ?",
        (app, name, limit),
    )
    return [_document(name, row, now_ms) for row in rows]


def _document(name: str, row: tuple[int, bytes, int], now_ms: int) -> ControlDocument:
    _check(name, row, _NAMES, _KINDS)
    version, body, changed_ms = row
    return ControlDocument(name, version, body, changed_ms, max(0, now_ms - changed_ms))


def _check(name: str, row: tuple[object, ...], names: tuple[str, ...], kinds: tuple[type, ...]) -> None:
    try:
        want(row, names, kinds)
    except DamagedRowError as error:
        msg = f"control document {name!r}: {error}; put the row right, or delete it"
        raise BrokerRefusedError(msg) from error


def write(
    tx: Transaction, name: str, body: bytes, expected: int, fence: Fence | None, *, keep: int
) -> int | None:
    """Write the version that follows on `expected`; None when that is not the present one, or the fence is stale."""
    if fence is not None and not _holds(tx, fence):
        return None
    (version,) = tx.db.execute(
        "SELECT coalesce(max(version), 0) FROM control WHERE app = ? AND name = ?", (tx.app, name)
    ).fetchone()
    if version != expected:
        return None
    tx.db.execute(
        "INSERT INTO control (app, name, version, body, changed_ms) VALUES (?, ?, ?, ?, ?)",
        (tx.app, name, expected + 1, body, tx.now),
    )
    tx.db.execute(
        "DELETE FROM control WHERE app = ? AND name = ? AND version <= ?",
        (tx.app, name, expected + 1 - keep),
    )
    return expected + 1


def hold(tx: Transaction, name: str, holder: str, ttl_ms: int) -> Fence | None:
    """Take the lease, or extend it; None while another holder has it."""
    token, held_by = _lease(tx, name)
    if held_by is None:
        token += 1
    elif held_by != holder:
        return None
    tx.db.execute(
        "INSERT INTO control_lease (app, name, token, holder, until_ms, boot) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (app, name) DO UPDATE SET token = excluded.token, holder = excluded.holder, "
        "until_ms = excluded.until_ms, boot = excluded.boot",
        (tx.app, name, token, holder, tx.tick + ttl_ms, boot()),
    )
    return Fence(name, holder, token)


def release(tx: Transaction, fence: Fence) -> None:
    """End the lease, if it is this one. Its token stays: the next holder's must be higher."""
    if _holds(tx, fence):
        tx.db.execute(
            "UPDATE control_lease SET until_ms = 0 WHERE app = ? AND name = ?", (tx.app, fence.name)
        )


def _holds(tx: Transaction, fence: Fence) -> bool:
    return _lease(tx, fence.name) == (fence.token, fence.holder)


def _lease(tx: Transaction, name: str) -> tuple[int, str | None]:
    """Return the last token given out, and the lease's holder. Leases end by time passed, not by the clock."""
    row = tx.db.execute(
        "SELECT token, holder, until_ms, boot FROM control_lease WHERE app = ? AND name = ?", (tx.app, name)
    ).fetchone()
    if row is None:
        return 0, None
    _check(name, row, _LEASE_NAMES, _LEASE_KINDS)
    token, holder, until_ms, since = row
    return token, holder if since == boot() and until_ms > tx.tick else None
