"""SIGTERM, heard beside the server that hosts the receiver.

A server that gets SIGTERM waits until its requests are answered. Jobs may take longer than the platform waits, so the
receiver must hear of it as well, to hand them back in time.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Sigterm:
    """Calls `heard` on the loop at SIGTERM, and then the handler that was set before."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: Callable[[int, FrameType | None], Any] | None = None

    def listen(self) -> None:
        """Listen, on the running loop; does nothing where nobody listens yet: then SIGTERM ends the process."""
        if self._before is not None or threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)
        if callable(before):
            self._loop = asyncio.get_running_loop()
            self._before = before
            signal.signal(signal.SIGTERM, self._called)

    def ignore(self) -> None:
        """Listen no more."""
        if self._before is not None and threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGTERM) == self._called:
                signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _called(self, number: int, frame: FrameType | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard)
        if self._before is not None:
            self._before(number, frame)
