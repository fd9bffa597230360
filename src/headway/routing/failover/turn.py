"""A sign between the processes of a host that the spool has changed: eight bytes of shared memory in a file beside it.

To read it costs a tenth of a microsecond, where to ask SQLite costs some system calls for each enqueue. It only says
that there is something new; what that is stands in the database.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from headway.errors import ConfigError

_SIZE: Final = 8


class Turn:
    """The sign of one spool. Random bytes, not a count: two processes that give it at once cannot make one of it."""

    def __init__(self, spool: Path) -> None:
        """Open or make the file; ConfigError when that cannot be done."""
        path = Path(f"{spool}-turn")
        try:
            self._memory = self._opened(path)
        except (OSError, ValueError) as error:
            msg = f"spool {spool}: {path.name} beside it cannot be used: {error}"
            raise ConfigError(msg) from error

    def _opened(self, path: Path) -> mmap.mmap:
        number = os.open(
            path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644
        )  # as SQLite makes its own
        try:
            if os.fstat(number).st_size < _SIZE:
                os.ftruncate(number, _SIZE)
            return mmap.mmap(number, _SIZE)
        finally:
            os.close(number)

    def read(self) -> bytes:
        """Return the sign; from any thread. Empty once it is closed."""
        try:
            return self._memory[:_SIZE]
        except ValueError:
            return b""

    def give(self) -> None:
        """Say that there is something new: behind the commit, before anybody is told of it."""
        with suppress(ValueError):
            self._memory[:_SIZE] = os.urandom(_SIZE)

    def close(self) -> None:
        """Close it."""
        self._memory.close()
