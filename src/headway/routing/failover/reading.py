"""Looking into the spool of this host without opening an app: for commands, also while every carrier is away."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from headway.errors import ConfigError
from headway.routing.failover.contents import read_contents
from headway.routing.failover.entries import Contents
from headway.routing.failover.schema import MARK, VERSION, explained

if TYPE_CHECKING:
    from pathlib import Path

Parked = tuple[str, str, str]
"""The id of a job that was set aside, its carrier, and why."""


def read_spool(path: Path, app: str, now_ms: int, *, parked: int = 0) -> tuple[Contents, list[Parked]]:
    """Return what the spool of an app holds, and so many of the jobs that were set aside; a missing file is empty.

    Nothing is changed or made. ConfigError says what is wrong with the file.
    """
    if not path.exists():
        return Contents(), []
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            if db.execute("PRAGMA application_id").fetchone() != (MARK,):
                msg = f"spool {path} is no spool: name the file that the app uses"
                raise ConfigError(msg)
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                msg = f"spool {path} is of a newer Headway (version {version}, this one knows {VERSION}): update it"
                raise ConfigError(msg)
            row = db.execute("SELECT app FROM about").fetchone()
            if row is not None and app and row[0] != app:
                msg = f"spool {path} is that of the app {row[0]!r}, this is {app!r}"
                raise ConfigError(msg)
            rows = db.execute(
                "SELECT id, carrier, parked FROM job WHERE parked <> '' ORDER BY seq LIMIT ?", (parked,)
            ).fetchall()
            return read_contents(db, now_ms), rows
        finally:
            db.close()
    except sqlite3.Error as error:
        raise ConfigError(explained(path, error)) from error
