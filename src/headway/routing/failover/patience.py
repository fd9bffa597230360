"""Giving up calls that have had no answer for too long."""

from __future__ import annotations

import asyncio
from typing import Final

_SPREAD: Final = 0.05  # of the time: timers are not exact


class Waiting:
    """One call under way. `given_up`: its task was cancelled for the sake of this call alone."""

    __slots__ = ("began", "given_up", "task")

    def __init__(self, task: asyncio.Task[object], began: float) -> None:
        self.task = task
        self.began = began
        self.given_up = False

    def is_mine(self) -> bool:
        """Tell whether a cancellation that arrived was that of this call; then the task goes on."""
        return self.given_up and self.task.uncancel() == 0


class Patience:
    """Watches the calls of one carrier with one timer. A call costs an entry in a dict."""

    def __init__(self, seconds: float, *, together: bool) -> None:
        """`together`: with the oldest call give up all that are under way, so that no later one overtakes it."""
        self.seconds = seconds
        self._together = together
        self._calls: dict[int, Waiting] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Waiting:
        """Count a call of the running task; `end` must follow."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checkers: coroutines run in tasks
        loop = task.get_loop()
        waiting = Waiting(task, loop.time())
        self._calls[id(waiting)] = waiting
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._look, loop)
        return waiting

    def end(self, waiting: Waiting) -> None:
        """The call has ended."""
        self._calls.pop(id(waiting), None)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if not self._calls:
            return
        patience = self.seconds * (1 - _SPREAD)
        now = loop.time()
        overdue = [one for one in self._calls.values() if now - one.began >= patience]
        for waiting in list(self._calls.values()) if overdue and self._together else overdue:
            waiting.given_up = True
            waiting.task.cancel()
            self.end(waiting)
        if self._calls:
            oldest = next(iter(self._calls.values())).began  # a dict keeps their order
            self._timer = loop.call_later(max(0.0, oldest + self.seconds - now), self._look, loop)
