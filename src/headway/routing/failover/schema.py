"""The tables of a spool, and whether a file is one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from headway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

MARK: Final = 0x48575370
"""`application_id` of a spool: HWSp."""
VERSION: Final = 2
_OLDEST: Final = 1
BUSY_S: Final = 5.0  # seconds that a transaction waits for those of other processes

# Sums are kept by triggers, so that nobody counts a hundred thousand rows to learn that a queue has none.
_TABLES: Final = """
CREATE TABLE job (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, carrier TEXT NOT NULL, queue TEXT NOT NULL,
  body BLOB NOT NULL, since_ms INTEGER NOT NULL, tried_ms INTEGER, parked TEXT NOT NULL DEFAULT '',
  cancelled TEXT);
CREATE INDEX waiting ON job (carrier, seq) WHERE parked = '';
CREATE TABLE lane (
  carrier TEXT NOT NULL, queue TEXT NOT NULL, parked INTEGER NOT NULL, jobs INTEGER NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY (carrier, queue, parked)) WITHOUT ROWID;
CREATE TABLE lease (carrier TEXT PRIMARY KEY, holder TEXT NOT NULL, until_ms INTEGER NOT NULL);
CREATE TABLE breaker (
  carrier TEXT NOT NULL, pid INTEGER NOT NULL, state TEXT NOT NULL, since_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
  why TEXT NOT NULL, PRIMARY KEY (carrier, pid)) WITHOUT ROWID;
CREATE TABLE about (app TEXT NOT NULL, flushed INTEGER NOT NULL DEFAULT 0);
CREATE TRIGGER came AFTER INSERT ON job BEGIN
  INSERT INTO lane VALUES (new.carrier, new.queue, new.parked <> '', 1, length(new.body))
    ON CONFLICT DO UPDATE SET jobs = jobs + 1, size = size + excluded.size;
END;
CREATE TRIGGER went AFTER DELETE ON job BEGIN
  UPDATE lane SET jobs = jobs - 1, size = size - length(old.body)
    WHERE carrier = old.carrier AND queue = old.queue AND parked = (old.parked <> '');
  DELETE FROM lane WHERE carrier = old.carrier AND queue = old.queue AND parked = (old.parked <> '') AND jobs = 0;
END;
CREATE TRIGGER changed AFTER UPDATE OF carrier, parked ON job BEGIN
  UPDATE lane SET jobs = jobs - 1, size = size - length(old.body)
    WHERE carrier = old.carrier AND queue = old.queue AND parked = (old.parked <> '');
  DELETE FROM lane WHERE carrier = old.carrier AND queue = old.queue AND parked = (old.parked <> '') AND jobs = 0;
  INSERT INTO lane VALUES (new.carrier, new.queue, new.parked <> '', 1, length(new.body))
    ON CONFLICT DO UPDATE SET jobs = jobs + 1, size = size + excluded.size;
END;
"""


def connect(path: Path, app: str) -> sqlite3.Connection:
    """Open the spool of an app, made where there is none; ConfigError in one line says what is wrong with the file."""
    try:
        db = _opened(path)
    except sqlite3.Error as error:
        raise ConfigError(explained(path, error)) from error
    try:
        _make(db, path, app)
    except sqlite3.Error as error:
        db.close()
        raise ConfigError(explained(path, error)) from error
    except BaseException:
        db.close()
        raise
    return db


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a connection that asks whether anything has changed, and what there is; from any thread, one at a time."""
    db = _opened(path)
    db.execute("PRAGMA query_only = ON")
    return db


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        # The disk has a job before its enqueue returns, also when the power goes.
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def _make(db: sqlite3.Connection, path: Path, app: str) -> None:
    _check(db, path)
    db.execute("PRAGMA journal_mode = WAL").fetchone()
    db.execute("BEGIN IMMEDIATE")
    try:
        found = _check(db, path)
        if found == _OLDEST:
            db.execute("ALTER TABLE job ADD COLUMN cancelled TEXT")
            db.execute(f"PRAGMA user_version = {VERSION}")
        if not found:
            for statement in _statements():
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {MARK}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("INSERT INTO about (app) VALUES (?)", (app,))
        row = db.execute("SELECT app FROM about").fetchone()
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    if row is None or row[0] != app:
        whose = "another app" if row is None else f"the app {row[0]!r}"
        msg = f"spool {path} is that of {whose}, this is {app!r}: give each app a file of its own"
        raise ConfigError(msg)


def _statements() -> list[str]:
    """Divide the script: `executescript` would end the transaction that it stands in."""
    statements: list[str] = []
    text = ""
    for line in _TABLES.strip().splitlines():
        text += line + "\n"
        if sqlite3.complete_statement(text):
            statements.append(text)
            text = ""
    return statements


def _check(db: sqlite3.Connection, path: Path) -> int:
    """Return the version of the spool, 0 of an empty file; ConfigError when it is something that we cannot read."""
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables and mark in {0, MARK}:
        return 0
    if mark != MARK:
        msg = f"spool {path} is a SQLite database, but no spool: name a file that does not exist yet"
        raise ConfigError(msg)
    if version > VERSION:
        msg = f"spool {path} is of a newer Headway (version {version}, this one knows {VERSION}): update this host"
        raise ConfigError(msg)
    if version < _OLDEST:
        msg = f"spool {path} is damaged (its version is {version}): move it away, keep it, and start again"
        raise ConfigError(msg)
    return int(version)


def explained(path: Path, error: sqlite3.Error) -> str:
    """Say in one line what is wrong with a file that cannot be used."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return (
            f"spool {path} is damaged ({text}): move it away with its -wal and -shm, keep it, and start again; "
            "what it held is not at its carrier yet"
        )
    if path.is_dir():
        return f"spool {path} cannot be opened: it is a folder, and must be a file in one"
    if "unable to open" in text:
        folder = path.absolute().parent
        why = "its folder cannot be written" if folder.is_dir() else f"there is no folder {folder}"
        return f"spool {path} cannot be opened: {why}"
    if "readonly" in text or "read-only" in text:
        return f"spool {path} cannot be written ({text}): check who owns it and its folder"
    if "full" in text:
        return f"spool {path} cannot be opened: the disk is full"
    return f"spool {path} cannot be opened: {text}"
