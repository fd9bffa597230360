"""The tables of the file, their versions, and how a file of an older version is brought up to date.

One file holds several apps: each row carries the number of its app, first in every index. The states are
stored as small numbers in the order of `STATES`, because the conditions of partial indexes must be literals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.errors import ConfigError
from headway.job import JobState

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x48647779  # "Hdwy": tells our files from other people's databases

STATES: Final = (
    JobState.SCHEDULED,
    JobState.READY,
    JobState.RUNNING,
    JobState.SUCCEEDED,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.EXPIRED,
)
SCHEDULED: Final = 0
READY: Final = 1
RUNNING: Final = 2
SUCCEEDED: Final = 3
FAILED: Final = 4
CANCELLED: Final = 5
EXPIRED: Final = 6

# The condition of the index of completed jobs. The plus lets it select the index without narrowing the search
# to a range of states, so that one state can still be looked up in the order of completion.
COMPLETED: Final = "+state > 2"

# Columns of `app`: `tail` numbers the places behind all others and the completions, `head` the places before
# all others, downwards; `wake` grows when there may be new work, `gone` when a job that did not complete was
# removed; `kept` counts succeeded, cancelled and expired jobs. Columns of `job`: `pos` is the place in the
# queue while ready, and the number of the completion when terminal; `since_ms` is when it became ready, or
# when it completed. A payload above `INLINE_MAX` is kept in its own table, so that a change of state does not
# write it again.
_V1: Final = """
CREATE TABLE app (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    tail INTEGER NOT NULL DEFAULT 0, head INTEGER NOT NULL DEFAULT 0, wake INTEGER NOT NULL DEFAULT 0, gone
    INTEGER NOT NULL DEFAULT 0, kept INTEGER NOT NULL DEFAULT 0, watched_until_ms INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE job (
    seq INTEGER PRIMARY KEY, app INTEGER NOT NULL, id TEXT NOT NULL, state INTEGER NOT NULL, queue TEXT NOT NULL,
    priority INTEGER NOT NULL, pos INTEGER NOT NULL, since_ms INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, cancel INTEGER NOT NULL DEFAULT 0,
    worker TEXT, due_ms INTEGER, expires_ms INTEGER, started_ms INTEGER, task TEXT NOT NULL, key TEXT, lock TEXT,
    progress REAL, message TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    history BLOB NOT NULL DEFAULT x'', result BLOB NOT NULL DEFAULT x'', payload BLOB
);
CREATE UNIQUE INDEX job_id ON job (app, id);
CREATE UNIQUE INDEX job_key ON job (app, key) WHERE key IS NOT NULL;
CREATE INDEX job_ready ON job (app, queue, priority DESC, pos, since_ms) WHERE state = 1;
CREATE INDEX job_scheduled ON job (app, due_ms, queue) WHERE state = 0;
CREATE INDEX job_running ON job (app, worker, queue) WHERE state = 2;
CREATE INDEX job_expiring ON job (app, expires_ms) WHERE expires_ms IS NOT NULL AND state < 2;
CREATE INDEX job_done ON job (app, state, pos, since_ms, queue) WHERE +state > 2;
CREATE TABLE payload (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE log (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, at_ms INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (seq, n)
) WITHOUT ROWID;
CREATE TABLE lease (
    app INTEGER NOT NULL, worker TEXT NOT NULL, until_ms INTEGER NOT NULL, PRIMARY KEY (app, worker)
) WITHOUT ROWID;
CREATE TABLE lock (
    app INTEGER NOT NULL, name TEXT NOT NULL, holder TEXT NOT NULL, since_ms INTEGER NOT NULL, until_ms
    INTEGER NOT NULL, held TEXT, held_due_ms INTEGER, PRIMARY KEY (app, name)
) WITHOUT ROWID;
CREATE INDEX lock_until ON lock (app, until_ms);
CREATE TABLE paused (app INTEGER NOT NULL, queue TEXT NOT NULL, PRIMARY KEY (app, queue)) WITHOUT ROWID;
CREATE TABLE schedule (
    app INTEGER NOT NULL, name TEXT NOT NULL, declared INTEGER NOT NULL DEFAULT 0, spec TEXT NOT NULL DEFAULT '',
    task TEXT NOT NULL DEFAULT '', paused INTEGER NOT NULL DEFAULT 0, last_fire_ms INTEGER, last_job TEXT,
    declared_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (app, name)
) WITHOUT ROWID;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL, kind TEXT NOT NULL, job TEXT NOT NULL,
    at_ms INTEGER NOT NULL, queue TEXT NOT NULL, epoch INTEGER NOT NULL, worker TEXT
);
CREATE TABLE signal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL, worker TEXT NOT NULL, job TEXT, at_ms INTEGER NOT NULL
);
"""

# file/stall.py says what these are for.
_V2: Final = """
ALTER TABLE app ADD COLUMN stalled_from_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE app ADD COLUMN stalled_to_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE app ADD COLUMN spared_until_ms INTEGER NOT NULL DEFAULT 0;
"""

# file/ticks.py says what this is for.
_V3: Final = """
ALTER TABLE lease ADD COLUMN boot TEXT NOT NULL DEFAULT '';
UPDATE app SET watched_until_ms = 0, spared_until_ms = 0;
"""

# presence.py says what this is for.
_V4: Final = """
CREATE TABLE worker (
    app INTEGER NOT NULL, name TEXT NOT NULL, queues TEXT NOT NULL, since_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL, boot TEXT NOT NULL, PRIMARY KEY (app, name)
) WITHOUT ROWID;
"""

# control.py and withdraw.py say what these are for. The mode of a lock is that of its holder.
_V5: Final = """
CREATE TABLE control (
    app INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL, changed_ms INTEGER NOT NULL,
    PRIMARY KEY (app, name, version)
);
CREATE TABLE control_lease (
    app INTEGER NOT NULL, name TEXT NOT NULL, token INTEGER NOT NULL, holder TEXT NOT NULL, until_ms INTEGER NOT NULL,
    boot TEXT NOT NULL, PRIMARY KEY (app, name)
) WITHOUT ROWID;
ALTER TABLE lock ADD COLUMN mode TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN withdrawn TEXT;
"""

# figures.py says what these are for. `span` is in minutes.
_V6: Final = """
CREATE TABLE figures (
    app INTEGER NOT NULL, span INTEGER NOT NULL, minute INTEGER NOT NULL, queue TEXT NOT NULL, task TEXT NOT NULL,
    carrier TEXT NOT NULL, counts BLOB NOT NULL, PRIMARY KEY (app, span, minute, queue, task, carrier)
) WITHOUT ROWID;
CREATE TABLE figures_source (
    app INTEGER NOT NULL, source TEXT NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (app, source)
) WITHOUT ROWID;
"""

# events.Event says what this is for.
_V7: Final = """
ALTER TABLE event ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
"""

# made.py says what this is for.
_V8: Final = """
CREATE TABLE made_schedule (
    app INTEGER NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (app, name)
);
"""

# drains.py says what this is for.
_V9: Final = """
CREATE TABLE drain (
    app INTEGER NOT NULL, worker TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (app, worker)
) WITHOUT ROWID;
"""

MIGRATIONS: Final = (_V1, _V2, _V3, _V4, _V5, _V6, _V7, _V8, _V9)
"""Script n brings a file from version n to version n + 1."""

VERSION: Final = len(MIGRATIONS)


def statements(script: str) -> list[str]:
    """Split a script at its semicolons: `executescript` would commit the transaction that the migration runs in."""
    return [part.strip() for part in script.split(";") if part.strip()]


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def check_origin(db: sqlite3.Connection, path: str) -> int:
    """Return the file's version (0: a new file). ConfigError when it is not ours, or of a newer Headway."""
    # One snapshot: between two reads another process may finish creating the very same file.
    alone = not db.in_transaction
    if alone:
        db.execute("BEGIN")
    try:
        version = _number(db, "user_version")
        owner = _number(db, "application_id")
        empty = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    finally:
        if alone:
            db.execute("COMMIT")
    if owner != APPLICATION_ID and (owner or version or not empty):
        msg = f"sqlite carrier {path}: the file holds another application's database; give Headway a file of its own"
        raise ConfigError(msg)
    if version > VERSION:
        msg = (
            f"sqlite carrier {path}: the file has schema version {version}, this Headway knows up to {VERSION}; "
            "upgrade Headway, or open another file"
        )
        raise ConfigError(msg)
    return version


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Create or upgrade the tables in one transaction. Two processes may do it at once: the second finds it done."""
    if check_origin(db, path) == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[check_origin(db, path) :]:
            for statement in statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def app_number(db: sqlite3.Connection, namespace: str) -> int:
    """Return the number of this app in the file, making it known when it is new."""
    row = db.execute("SELECT id FROM app WHERE name = ?", (namespace,)).fetchone()
    if row is None:
        db.execute("INSERT INTO app (name) VALUES (?) ON CONFLICT DO NOTHING", (namespace,))
        row = db.execute("SELECT id FROM app WHERE name = ?", (namespace,)).fetchone()
    return int(row[0])
