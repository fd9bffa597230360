"""The file of a guard: what its URL says, its table, and in Headway's terms what SQLite refuses."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from headway.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError, ConfigError
from headway.storage.redis.replies import ServerRefusesError
from headway.storage.sqlite.identity import OTHERS_NOTICE_S, FileCheck, Holder, clear_leftovers
from headway.storage.sqlite.locks import writer_of
from headway.text import redact

if TYPE_CHECKING:
    from headway.storage.sqlite.identity import FileLoss

_log: Final = logging.getLogger("headway.guard")

_APPLICATION_ID: Final = 0x48647747  # "HdwG": a guard's file, not a carrier's
_VERSION: Final = 1
_SWITCH_PAUSE: Final = 0.01  # seconds between tries while another process creates the same file

_TABLES: Final = (
    """CREATE TABLE guard (
        app TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, grp TEXT NOT NULL, tag TEXT NOT NULL,
        changed_ms INTEGER NOT NULL, forget_ms INTEGER, data BLOB NOT NULL, PRIMARY KEY (app, key))""",
    "CREATE INDEX guard_kind ON guard (app, grp, tag, forget_ms)",
    "CREATE INDEX guard_forget ON guard (app, forget_ms) WHERE forget_ms IS NOT NULL",
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it cannot be written: give this user write permission to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its folder exists and may be written",
    sqlite3.SQLITE_IOERR: "the disk reports an error: check the file system",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database: name another file",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from a backup",
}


@dataclass(frozen=True, slots=True)
class Location:
    """The file, how long a call waits for other processes' transactions, and when the disk is waited for."""

    path: str
    timeout: float = 5.0  # seconds
    synchronous: str = "NORMAL"

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"guard sqlite:///{self.path}"


def connect(location: Location) -> sqlite3.Connection:
    """Open a connection, and create the table; raises sqlite3.Error, ConfigError or BrokerRefusedError."""
    db = sqlite3.connect(
        location.path, timeout=location.timeout, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(db, location)
    except BaseException:
        db.close()
        raise
    return db


class OpenFile:
    """The file, opened anew when it was deleted, moved or replaced meanwhile. Lives on one thread."""

    def __init__(self, location: Location) -> None:
        """Open it; raises as `connect`."""
        self._where = replace(location, path=str(Path(location.path).absolute()))
        self._loss: FileLoss | None = None
        self._again = 0.0  # time.monotonic() from which on it may be opened again
        self._open()

    def _open(self) -> None:
        clear_leftovers(self._where.path)
        self._db: sqlite3.Connection | None = connect(self._where)
        self._check = FileCheck(self._where.path)

    def connection(self) -> sqlite3.Connection:
        """Return a connection to what the path names; BrokerUnavailableError once when that is another file now."""
        if self._loss is not None or self._db is None:
            if self._loss is not None and time.monotonic() < self._again:
                raise self._refusal(self._loss)
            self.close()
            self._open()
            self._loss = None
            _log.warning("%s: open again", self._where.name)
        self.verify()
        return cast("sqlite3.Connection", self._db)

    def verify(self) -> None:
        """BrokerUnavailableError when the file is not there any more, or another one is in its place."""
        if (loss := self._check.loss()) is not None:
            self._loss = loss
            self._again = time.monotonic() + (0.0 if loss.whole else OTHERS_NOTICE_S)
            _log.error(
                "%s: %s; what is not in the file that stands there now is forgotten",
                self._where.name,
                loss.said,
            )
            raise self._refusal(loss)

    def _refusal(self, loss: FileLoss) -> BrokerUnavailableError:
        msg = f"{self._where.name}: {loss.said}; nothing was written. It is opened again: repeat the call in a moment"
        return BrokerUnavailableError(msg)

    def close(self) -> None:
        """Close it; of a file that was lost save what can be saved. OSError when that would damage it."""
        identity = self._check.identity
        holder = Holder(self._where.path) if identity.superseded else None
        db, self._db = self._db, None
        if db is not None and self._loss is not None:
            identity.save_log(db)
        if db is not None:
            db.close()
        if self._loss is not None:
            identity.clear_away()
        if holder is not None:
            holder.end()


def _prepare(db: sqlite3.Connection, location: Location) -> None:
    mode = _switch_to_log(db, time.monotonic() + location.timeout)
    if mode != "wal":
        msg = f"{location.name}: no write-ahead log here (mode {mode}); use a local disk, not a network file system"
        raise BrokerRefusedError(msg)
    db.execute(f"PRAGMA synchronous = {location.synchronous}")
    db.execute("PRAGMA temp_store = MEMORY")  # a container may have no folder for temporary files
    db.execute("BEGIN IMMEDIATE")  # two processes may do it at once: the second finds it done
    try:
        if _is_new(db, location):
            for statement in _TABLES:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _switch_to_log(db: sqlite3.Connection, deadline: float) -> str:
    while True:  # SQLite's own waiting does not cover this switch
        try:
            return str(db.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_PAUSE)


def _is_new(db: sqlite3.Connection, location: Location) -> bool:
    owner = int(db.execute("PRAGMA application_id").fetchone()[0])
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    empty = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    if owner != _APPLICATION_ID and not empty:
        msg = f"{location.name}: the file holds another database; give the guard a file of its own"
        raise ConfigError(msg)
    if version > _VERSION:
        msg = f"{location.name}: the file is of a newer Headway (version {version}); upgrade, or name another file"
        raise ConfigError(msg)
    return empty


def _code(error: sqlite3.Error) -> int:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def translate(error: sqlite3.Error, location: Location) -> BrokerError:
    """Say what happened to which file, and what to do."""
    code = _code(error)
    if code in _BUSY:
        msg = (
            f"{location.name}: the file is busy: {writer_of(location.path)} kept it locked for {location.timeout:g} s; "
            "look for a long transaction or a stopped process, or raise ?timeout="
        )
        return BrokerUnavailableError(msg)
    if code in _ADVICE:
        return ServerRefusesError(f"{location.name}: {error}; {_ADVICE[code]}")
    return BrokerRefusedError(f"{location.name}: {error}; this is unexpected")


def parse(url: str) -> Location:
    """Read a `sqlite:` URL; ConfigError names what is wrong with it."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if not url.startswith("sqlite:///") or not path or path.endswith("/") or "\0" in path:
        msg = "guard: write sqlite:///relative.db or sqlite:////absolute/path.db"
        raise ConfigError(msg)
    if path == ":memory:" or path.startswith("file:"):
        msg = f"guard {redact(url)!r}: a database in memory is lost with its process; name a file"
        raise ConfigError(msg)
    timeout, synchronous = 5.0, "NORMAL"
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option == "timeout" and value.replace(".", "", 1).isdecimal() and 0 < float(value) <= 600:  # noqa: PLR2004 - seconds
            timeout = float(value)
        elif option == "synchronous" and value.lower() in {"normal", "full"}:
            synchronous = value.upper()
        else:
            msg = (
                f"guard {redact(url)!r}: an option is wrong; there are timeout (seconds, up to 600) "
                "and synchronous (normal or full)"
            )
            raise ConfigError(msg)
    return Location(path, timeout, synchronous)
