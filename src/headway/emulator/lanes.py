"""The tasks of one queue that wait for their time, and what the queue's limits let go."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Final

from headway.emulator.model import QueueState
from headway.emulator.rates import Throttle, TokenBucket

if TYPE_CHECKING:
    from headway.emulator.model import Queue

_order: Final = count()
_SLACK: Final = 64


class Lane:
    """Waiting tasks in the order of their due times; those under way are only counted."""

    def __init__(self, queue: Queue, now_ms: int, *, throttle: bool) -> None:
        """Begin empty, with a full bucket."""
        self._queue = queue
        self._throttle = Throttle(enabled=throttle)
        self._bucket = TokenBucket(queue.rate.per_second, queue.rate.burst, now_ms)
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, int, str]] = []
        self.flying = 0

    def configure(self, queue: Queue, now_ms: int) -> None:
        """Take the queue's new limits and state."""
        self._queue = queue
        self._limit(now_ms)

    def _limit(self, now_ms: int) -> None:
        rate, factor = self._queue.rate, self._throttle.factor
        self._bucket.configure(rate.per_second * factor, max(1, int(rate.burst * factor)), now_ms)

    def note(self, *, overloaded: bool, now_ms: int) -> None:
        """Take an answer of the target into account."""
        if self._throttle.note(overloaded=overloaded):
            self._limit(now_ms)

    def schedule(self, task: str, due_ms: int) -> None:
        """Let a task wait until `due_ms`, also when it waits already."""
        self._due[task] = due_ms
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [
                entry for entry in self._heap if self._due.get(entry[2]) == entry[0] and entry[2] != task
            ]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (due_ms, next(_order), task))

    def forget(self, task: str) -> None:
        """Let a task wait no longer."""
        self._due.pop(task, None)

    def clear(self) -> None:
        """Let no task wait any longer."""
        self._due.clear()
        self._heap.clear()

    def due(self, now_ms: int) -> str | None:
        """Return the next task that is due, if the queue's state and concurrency let it go; it goes on waiting."""
        head = self._head()
        if head is None or head[0] > now_ms or not self._open():
            return None
        return head[1]

    def take(self, task: str, now_ms: int) -> bool:
        """Let the task that is due go, if there is a token for it."""
        if not self._bucket.take(now_ms):
            return False
        del self._due[task]
        return True

    def next_ms(self, now_ms: int) -> int | None:
        """Return when to look again; None when only an answer, a call or a new task can change anything."""
        head = self._head()
        if head is None or not self._open():
            return None
        return head[0] if head[0] > now_ms else self._bucket.next_ms(now_ms)

    def _open(self) -> bool:
        return self._queue.state is QueueState.RUNNING and self.flying < self._queue.rate.concurrent

    def _head(self) -> tuple[int, str] | None:
        while self._heap:
            due_ms, _, task = self._heap[0]
            if self._due.get(task) == due_ms:
                return due_ms, task
            heapq.heappop(self._heap)
        return None
