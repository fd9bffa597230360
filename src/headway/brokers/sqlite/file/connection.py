"""Opening a connection to the file, and translating SQLite's errors into Headway's."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError, ConfigError
from headway.storage.sqlite.locks import writer_of

if TYPE_CHECKING:
    from headway.brokers.sqlite.location import Location

MIN_VERSION: Final = (3, 35, 0)  # UPDATE ... RETURNING

# A checkpoint moves pages from the log to the file. With 4,000 pages (16 MB) between checkpoints instead of
# 1,000, a page that is changed often is moved once instead of many times: about twice as many jobs a second.
_CHECKPOINT_PAGES: Final = 4000
_LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CACHE_KIB: Final = 32 * 1024
_STATEMENTS: Final = 256
_SWITCH_PAUSE: Final = 0.01  # seconds between tries while another process creates the same file

# Text that is not UTF-8 (written by another hand) must not make the whole answer fail.
_text = partial(str, encoding="utf-8", errors="replace")

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full, or the file has reached its size limit: free some space",
    sqlite3.SQLITE_READONLY: "the file or its folder cannot be written: give this user write permission to both",
    sqlite3.SQLITE_PERM: "access is denied: give this user permission to the file and its folder",
    sqlite3.SQLITE_AUTH: "access is denied: give this user permission to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: check that its folder exists and may be written",
    sqlite3.SQLITE_IOERR: "the disk reports an error: check the file system, then the file (PRAGMA integrity_check)",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database: name another file, or restore this one from a backup",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore it from a backup, or try the .recover of the sqlite3 shell",
    sqlite3.SQLITE_TOOBIG: "a value passes SQLite's limit of 1 GB: send less, or keep the payload elsewhere",
    sqlite3.SQLITE_NOMEM: "out of memory: give this process more",
}


def check_library() -> None:
    """ConfigError when the SQLite that Python was built with is too old."""
    if sqlite3.sqlite_version_info < MIN_VERSION:
        wanted = ".".join(map(str, MIN_VERSION))
        msg = (
            f"the sqlite carrier needs SQLite {wanted} or later, this Python has {sqlite3.sqlite_version}; "
            "use a newer Python build, or another carrier"
        )
        raise ConfigError(msg)


def connect(location: Location, *, reader: bool = False) -> sqlite3.Connection:
    """Open a connection for the calling thread; translated errors. A reader cannot change anything."""
    try:
        db = sqlite3.connect(
            location.path,
            timeout=location.timeout_ms / 1000,
            isolation_level=None,
            cached_statements=_STATEMENTS,
        )
    except sqlite3.Error as error:
        raise translate(error, location) from error
    try:
        _configure(db, location, reader=reader)
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error):
            raise translate(error, location) from error
        raise
    return db


def _configure(db: sqlite3.Connection, location: Location, *, reader: bool) -> None:
    db.text_factory = _text
    db.execute("PRAGMA temp_store = MEMORY")  # a container may have no folder for temporary files
    if reader:
        db.execute("PRAGMA query_only = 1")
        return
    mode = _switch_to_log(db, time.monotonic() + location.timeout_ms / 1000)
    if mode != "wal":
        msg = (
            f"{location.name}: SQLite could not switch to its write-ahead log (it stays in mode {mode}); "
            "use a local disk, network file systems do not support it"
        )
        raise BrokerRefusedError(msg)
    db.execute(f"PRAGMA synchronous = {location.synchronous}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _switch_to_log(db: sqlite3.Connection, deadline: float) -> str:
    """Return the journal mode after asking for WAL. SQLite's own busy timeout does not cover this switch."""
    while True:
        try:
            return str(db.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_PAUSE)


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another connection held the lock, so that trying again may help."""
    return primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extended part; -1 when the error is Python's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def translate(error: sqlite3.Error, location: Location) -> BrokerError:
    """Say what happened to which file, and what to do."""
    code = primary_code(error)
    if is_busy(error):
        return BrokerUnavailableError(
            f"{location.name}: the file is busy: {writer_of(location.path)} kept it locked for "
            f"{location.timeout_ms / 1000:g} s ({error}); "
            "look for a long transaction or a stopped process, or raise ?timeout="
        )
    advice = _ADVICE.get(code, "this is unexpected: check the file (PRAGMA integrity_check)")
    return BrokerRefusedError(f"{location.name}: {error}; {advice}")
