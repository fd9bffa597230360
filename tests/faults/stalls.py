"""Whether the machine itself stood still: what a busy one delays is not the fault of those who were delayed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_PAUSE: Final = 0.02


class Stalls:
    """A context manager that measures by how much a thread that sleeps is woken too late."""

    def __init__(self) -> None:
        self.longest = 0.0  # seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stopped.is_set():
            time.sleep(_PAUSE)
            now = time.monotonic()
            self.longest = max(self.longest, now - before - _PAUSE)
            before = now
