"""Who keeps a SQLite file from others, as far as the system tells."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_WRITING: Final = 120  # the byte of the log's index that a writer has locked
_LOCKS: Final = Path("/proc/locks")  # Linux


def writer_of(path: str | Path, *, locks: Path = _LOCKS) -> str:
    """Name the process that is writing to the file; a general word when that cannot be found out."""
    with suppress(OSError, ValueError):
        index = os.stat(os.path.realpath(path) + "-shm").st_ino  # noqa: PTH116 - as SQLite names it
        for line in locks.read_text(encoding="utf-8").splitlines():
            # 1: POSIX  ADVISORY  WRITE 4711 fe:00:1234 120 120
            parts = line.split()
            if len(parts) == 8 and parts[3] == "WRITE" and int(parts[5].rsplit(":", 1)[1]) == index:  # noqa: PLR2004
                first, last = int(parts[6]), _WRITING if parts[7] == "EOF" else int(parts[7])
                if first <= _WRITING <= last:
                    return _named(int(parts[4]))
    return "another process"


def _named(pid: int) -> str:
    if pid == os.getpid():
        return "this process itself"
    if pid <= 0:
        return "a process outside of this container"
    with suppress(OSError):
        command = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
        return f"process {pid} ({command[:80]})"
    return f"process {pid}"
