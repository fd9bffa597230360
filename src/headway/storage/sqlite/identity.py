"""Whether a SQLite file is still the one that was opened.

A connection goes on with the file that it opened, also when that was deleted, moved away or replaced: what it commits
then is seen by nobody. So whoever keeps one open compares what the path names now with what it named at the opening.
The write-ahead log (`-wal`) and its index (`-shm`) beside the file count as well: without them the processes that open
the file later do not see what those commit that opened it before.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_BESIDE: Final = ("-wal", "-shm")
OTHERS_NOTICE_S: Final = 1.0
"""Until every process has noticed that a log is gone: none may write to it when a new one begins."""

_EVERY_S: Final = 0.25  # so long may commits go to a file that is not there any more
_EVERY_CALLS: Final = 16
"""Nor more commits than these: behind some thousand pages SQLite moves a log into the database by itself, and one that
is not the database's any more would damage it."""
_SAVE_MS: Final = 1000  # how long the readers of other processes are waited for when a log is saved

_Inode = tuple[int, int]


class FileLoss(Struct, frozen=True):
    """What happened to an open file. `whole`: to the database itself; else to its log, which can mostly be saved."""

    said: str
    whole: bool


class FileIdentity:
    """The file, its log and the index of that, as they were when this was made: after a first transaction."""

    def __init__(self, path: str | Path) -> None:
        """Look at them; a path that names nothing any more shows as a loss."""
        self._path = Path(path).absolute()
        real = os.path.realpath(self._path)  # SQLite keeps its log beside the target of a link
        self._file = _inode(self._path)
        self._beside = {name: _inode(name) for name in (real + suffix for suffix in _BESIDE)}

    def loss(self) -> FileLoss | None:
        """Say what happened since; None: nothing, or it cannot be found out."""
        try:
            now = _inode(self._path)
            if now is None or now != self._file:
                how = "removed or moved away" if now is None else "replaced by another one"
                return FileLoss(f"the file was {how} while it was open", whole=True)
            for name, before in self._beside.items():
                if before is not None and _inode(name) != before:
                    return FileLoss(f"{Path(name).name} was removed while the file was open", whole=False)
        except OSError:
            return None  # such as a folder that may not be entered any more: what is open there goes on
        return None

    @property
    def superseded(self) -> bool:
        """Whether the file is the same, and another process has begun a new log beside it."""
        with suppress(OSError):
            return self._is_there() and any(
                _inode(name) not in {None, before} for name, before in self._beside.items()
            )
        return False

    def save_log(self, db: sqlite3.Connection) -> None:
        """Move what stands in the log into the database, so that a file that was only moved away is whole.

        Not when another process has begun a new log: pages of two logs would be mixed.
        """
        with suppress(OSError, sqlite3.Error):
            if all(_inode(name) in {None, before} for name, before in self._beside.items()):
                db.execute(f"PRAGMA busy_timeout = {_SAVE_MS}")
                db.execute("PRAGMA wal_checkpoint(FULL)")

    def clear_away(self) -> None:
        """Remove the log of a database that is not there any more: SQLite would apply it to the one in its place."""
        with suppress(OSError):
            if self._is_there():
                return
            for name, before in self._beside.items():
                if before is not None and _inode(name) == before:
                    Path(name).unlink()

    def _is_there(self) -> bool:
        return self._file is not None and _inode(self._path) == self._file


class FileCheck:
    """Looks at the identity four times a second, and at every sixteenth call: for one thread."""

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Note what is there now."""
        self.identity = FileIdentity(path)
        self._clock = clock
        self._next = 0.0
        self._calls = 0

    def loss(self, *, now: bool = False) -> FileLoss | None:
        """Return what happened to the file, when it is time to look, or `now`."""
        instant = self._clock()
        self._calls += 1
        if instant < self._next and self._calls < _EVERY_CALLS and not now:
            return None
        self._calls = 0
        self._next = instant + _EVERY_S
        return self.identity.loss()


class Holder:
    """A process that has the file open while connections to a superseded log are closed.

    Else SQLite would take the last of them for the last of all, write its log into the database and remove the new one.
    """

    def __init__(self, path: str | Path) -> None:
        """Start it, and wait until it has the file open; OSError when that fails."""
        command = [sys.executable, "-c", _HOLD, os.path.realpath(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own
        stdout = self._process.stdout
        if stdout is None or stdout.readline() != b"held\n":
            self.end()
            msg = f"{command[0]} could not open {command[-1]}"
            raise OSError(msg)

    def end(self) -> None:
        """Let it close the file and end."""
        self._process.communicate()


_HOLD: Final = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT count(*) FROM sqlite_master'); "
    "print('held', flush=True); sys.stdin.read(); db.close()"
)


def clear_leftovers(path: str | Path) -> None:
    """Before a new file is made: remove the log of one that was deleted, which SQLite would take for the new one's."""
    real = os.path.realpath(path)
    with suppress(OSError):
        if _size(real):
            return
        for suffix in _BESIDE:
            Path(real + suffix).unlink(missing_ok=True)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


def _inode(path: str | Path) -> _Inode | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
