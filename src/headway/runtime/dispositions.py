"""What a worker's process does about signals that are its supervisor's to obey, without passing that on to children.

Ignored signals stay ignored in whatever a job's handler starts (`execve(2)`): `Popen.terminate()` would do nothing.
Signals that are caught return to their default in a new program; a mere fork keeps the catching, so it ends there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_SUPERVISORS: Final = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C and the end of a terminal go to whole groups


def leave_signals_to_parent(asked: Callable[[], None] | None = None) -> None:
    """Do nothing at those signals; call `asked` at SIGURG: the supervisor's question what this process is doing."""

    def nothing(_number: int, _frame: FrameType | None) -> None:
        """Do nothing."""

    def answer(_number: int, _frame: FrameType | None) -> None:
        if asked is not None:
            asked()

    numbers = [getattr(signal, name) for name in _SUPERVISORS if hasattr(signal, name)]
    for number in numbers:
        signal.signal(number, nothing)
    if asked is not None:
        signal.signal(signal.SIGURG, answer)
        numbers.append(signal.SIGURG)
    if hasattr(signal, "SIGTTOU"):
        # In a process group of its own it is in the background of a terminal, and may write there all the same.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _restore(numbers))


def _restore(numbers: list[int]) -> None:
    with contextlib.suppress(ValueError, OSError):  # not in the main thread of an interpreter
        signal.set_wakeup_fd(-1)  # it is the parent's loop that listens there
        for number in numbers:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
