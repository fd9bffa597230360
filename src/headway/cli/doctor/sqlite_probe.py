"""Looking at a SQLite file without changing it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from headway.brokers.sqlite.location import parse
from headway.cli.doctor.sqlite import SqliteFacts

_CHECK_SECONDS: Final = 5.0  # of quick_check, which reads the whole file
_LINES: Final = 3  # of damage: enough to know
_STEPS: Final = 20_000  # of SQLite's machine between looks at the clock: a few milliseconds


def sqlite_facts(url: str) -> SqliteFacts:
    """Look at the file that the URL names; ConfigError for a wrong URL."""
    location = parse(url)
    path = location.path.absolute()
    folder = path.parent
    exists = path.exists()
    journal_mode, damage, whole, problem = "", tuple[str, ...](), True, ""
    odd: tuple[str, ...] = ()
    if exists:
        try:
            journal_mode, damage, whole = _look(path)
            odd = odd_values(path)
        except sqlite3.Error as error:
            problem = str(error)
    elif not folder.is_dir():
        problem = f"there is no folder {folder}"
    return SqliteFacts(
        name=location.name,
        library=_library(),
        exists=exists,
        writable=os.access(folder, os.W_OK) and (not exists or os.access(path, os.W_OK)),
        opened=not problem,
        open_error=problem,
        journal_mode=journal_mode,
        damage=damage,
        checked_whole=whole,
        synchronous=location.synchronous,
        file_bytes=_bytes(path),
        log_bytes=_bytes(path.with_name(path.name + "-wal")),
        free_bytes=shutil.disk_usage(folder).free if folder.is_dir() else None,
        file_system=file_system(folder, Path("/proc/self/mountinfo")),
        holders=holders(path),
        leftover=not exists and _bytes(path.with_name(path.name + "-wal")) > 0,
        odd=odd,
    )


def _look(path: Path) -> tuple[str, tuple[str, ...], bool]:
    """Return the journal mode, the damage, and whether the check went through the whole file."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)) as db:
        mode = str(db.execute("PRAGMA journal_mode").fetchone()[0])
        end = time.monotonic() + _CHECK_SECONDS
        db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        try:
            rows = db.execute(f"PRAGMA quick_check({_LINES})").fetchall()
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                return mode, (), False
            raise
    said = tuple(str(row[0]) for row in rows)
    return mode, () if said == ("ok",) else said, True


def odd_values(path: Path) -> tuple[str, ...]:
    """Return the columns that hold values of a wrong type, as far as they are found within some seconds."""
    kinds = {"INTEGER": "'integer'", "TEXT": "'text'", "REAL": "'real', 'integer'", "BLOB": "'blob'"}
    found: list[str] = []
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)) as db:
        end = time.monotonic() + _CHECK_SECONDS
        db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        tables = db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (table,) in tables:
            columns = db.execute(f"PRAGMA table_info({table})").fetchall()
            counts = ", ".join(
                f"count(*) FILTER (WHERE typeof({name}) NOT IN ({kinds.get(kind, 'NULL')}, 'null'))"
                for _, name, kind, *_ in columns
            )
            try:
                row = db.execute(f"SELECT {counts} FROM {table}").fetchone()  # noqa: S608 - names of our own tables
            except sqlite3.OperationalError:
                return tuple(found)  # the file is large: what was found in time
            found += [
                f"{table}.{column[1]} {count}" for column, count in zip(columns, row, strict=True) if count
            ]
    return tuple(found)


def holders(path: Path, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Return the processes that have a file of this name open which was removed; those of other users are not seen."""
    names = {f"{path.resolve()}{suffix} (deleted)" for suffix in ("", "-wal", "-shm")}
    found: list[int] = []
    for folder in proc.glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(str(link.readlink()) in names for link in folder.iterdir()):
                found.append(int(folder.parent.name))
    return tuple(sorted(found))


def file_system(folder: Path, mountinfo: Path) -> str | None:
    """Return the kind of the file system that holds the folder, from Linux's list of mounts; None elsewhere."""
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    wanted = folder.resolve()
    best: tuple[int, str] | None = None
    for line in lines:
        mount, _, kind = line.partition(" - ")
        parts = mount.split()
        if len(parts) < 5 or not kind:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = Path(parts[4].replace("\\040", " "))
        # A later mount on the same point hides the earlier one.
        if wanted.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), kind.split()[0])
    return None if best is None else best[1]


def _library() -> tuple[int, int, int]:
    major, minor, patch = sqlite3.sqlite_version_info
    return major, minor, patch


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
