"""Writing to stderr without failing and without waiting: its reader may be gone or stopped, its disk full.

A worker must drain all the same. What could not be written is counted, and said as soon as something can be.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

_PATIENCE_MS: Final = 200  # for a reader that is only slow; none at all while it is known to have stopped
_PIECE: Final = (
    4096  # bytes (PIPE_BUF of Linux) that a pipe takes without waiting when it says that it is ready
)


class Stderr:
    """Remembers whether anybody reads."""

    def __init__(self) -> None:
        self._lost = 0  # texts, since the last that was written
        self._stalled = False
        self._torn = False  # a line was begun and not ended

    def write(self, text: str) -> bool:
        """Write the text, which ends with a line break; false when it was lost."""
        stream = sys.stderr
        if stream is None:  # pyright: ignore[reportUnnecessaryComparison] - a closed one
            return False
        before = "\n" if self._torn else ""
        if self._lost:
            before += f"headway: {self._lost} lines were lost: nothing took what is written to stderr\n"
        if not self._put(stream, before + text):
            self._lost += 1
            return False
        self._lost = 0
        self._torn = False
        return True

    def _put(self, stream: TextIO, text: str) -> bool:
        try:
            descriptor = stream.fileno()
            whole = not hasattr(select, "poll") or stat.S_ISREG(os.fstat(descriptor).st_mode)
        except (OSError, ValueError):
            descriptor, whole = -1, True  # not a file: a test or a host program put something in its place
        if descriptor < 0:
            with contextlib.suppress(OSError, ValueError):
                stream.write(text)
                stream.flush()
                return True
            return False
        data = text.encode(stream.encoding or "utf-8", "backslashreplace")
        try:
            while data:
                if not (whole or self._ready(descriptor)):
                    return False
                written = os.write(descriptor, data if whole else data[:_PIECE])
                self._torn = True
                data = data[written:]
        except OSError:
            return False
        return True

    def _ready(self, descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        self._stalled = not poll.poll(0 if self._stalled else _PATIENCE_MS)
        return not self._stalled


write_stderr: Final = Stderr().write
"""That of this process."""
