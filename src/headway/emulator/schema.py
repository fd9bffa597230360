"""The table of the state file. Everything is a record: a kind, a name, and bytes that their owner understands."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from headway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID: Final = 0x48644574  # "HdEt": a state file of the emulator, not a carrier's
VERSION: Final = 1

_TABLES: Final = """
CREATE TABLE record (kind TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, name));
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the state file for one emulator alone; ConfigError when it is another's, or in use."""
    try:
        db = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        msg = f"state file {path}: {error}; check that its folder exists and may be written"
        raise ConfigError(msg) from error
    try:
        _claim(db, path)
    except sqlite3.Error as error:
        db.close()
        msg = (
            f"state file {path}: another emulator uses it; end that one, or name another file"
            if "locked" in str(error)
            else f"state file {path}: {error}; name another file"
        )
        raise ConfigError(msg) from error
    except BaseException:
        db.close()
        raise
    return db


def _claim(db: sqlite3.Connection, path: Path) -> None:
    # What is in memory is the truth, the file its journal: a second emulator on it would be a second truth.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN EXCLUSIVE")
    owner = int(db.execute("PRAGMA application_id").fetchone()[0])
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    empty = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    if owner == APPLICATION_ID and version == VERSION:
        db.execute("COMMIT")
        return
    if owner == APPLICATION_ID:
        msg = f"state file {path}: it has version {version}, this Headway knows {VERSION}; name another file"
        raise ConfigError(msg)
    if owner or version or not empty:
        msg = (
            f"state file {path}: it holds another application's database; give the emulator a file of its own"
        )
        raise ConfigError(msg)
    db.execute(_TABLES)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")
