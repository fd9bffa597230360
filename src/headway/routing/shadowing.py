"""Sends copies of jobs to carriers that are tried out: beside the real enqueue, bounded, and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import Enqueued
from headway.errors import PartlyAcceptedError
from headway.job import mark_of, marked_ids
from headway.routing.shadow import copy_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Store
    from headway.clock import Clock
    from headway.job import NewJob
    from headway.routing.shadow import Shadow

_log: Final = logging.getLogger("headway.shadow")

MOST: Final = 500
"""Copies that wait to be sent, in one process; further ones are left out."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of their payloads."""
_BATCH: Final = 50
_PATIENCE: Final = 10.0  # seconds for one call
_QUIET: Final = 60.0  # seconds between two lines of the log about copies that are lost


class Sent(Struct, frozen=True):
    """What became of one call: copies of one task to one carrier; `ms` is how long the call took."""

    carrier: str
    task: str
    count: int
    ms: float
    accepted: bool


Told = Callable[[Sent], None]


class Shadower:
    """Copies a share of the jobs that were accepted on this loop."""

    def __init__(
        self,
        stores: Mapping[str, Store],
        shadows: Callable[[], Mapping[str, Shadow]],
        clock: Clock,
        told: Told,
    ) -> None:
        """For the running loop. `shadows` returns those of the present routes, by queue: none, mostly."""
        self._loop = asyncio.get_running_loop()
        self._stores = stores
        self.shadows = shadows
        self._clock = clock
        self._told = told
        self._ids = {name: marked_ids(mark_of(name)) for name in stores}
        self._waiting: deque[tuple[str, NewJob]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._lost = 0
        self._said = -_QUIET

    def copy(self, name: str, jobs: Sequence[NewJob], answers: Sequence[Enqueued]) -> None:
        """Copy those that are to be, of jobs that this carrier has accepted; on the app's loop. Never raises."""
        shadows = self.shadows()
        if not shadows:
            return
        for job, answer in zip(jobs, answers, strict=True):
            shadow = shadows.get(job.queue)
            if shadow is None or shadow.to == name or answer.duplicate_of is not None:
                continue
            if shadow.takes(job.id):
                self._add(shadow.to, copy_of(job, self._ids[shadow.to](), self._clock.now_ms()))

    def copy_one(self, name: str, job: NewJob) -> None:
        """Do the same for a job that was accepted without the loop, from any thread."""
        if job.queue in self.shadows():
            with contextlib.suppress(RuntimeError):  # it has just been closed
                self._loop.call_soon_threadsafe(self.copy, name, [job], [Enqueued(job.id)])

    def _add(self, to: str, copy: NewJob) -> None:
        size = len(copy.payload)
        if len(self._waiting) >= MOST or self._bytes + size > MOST_BYTES:
            self._lose(1, "more are to be copied than the carrier takes")
            return
        self._bytes += size
        self._waiting.append((to, copy))
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._send())

    async def _send(self) -> None:
        while self._waiting:
            to, task = self._waiting[0][0], self._waiting[0][1].task
            batch: list[NewJob] = []
            while self._waiting and len(batch) < _BATCH and self._waiting[0][0] == to:
                if self._waiting[0][1].task != task:
                    break
                batch.append(self._waiting.popleft()[1])
            self._bytes -= sum(len(copy.payload) for copy in batch)
            await self._call(to, task, batch)

    async def _call(self, to: str, task: str, batch: Sequence[NewJob]) -> None:
        began, count = time.monotonic(), len(batch)
        accepted = True
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._stores[to].enqueue(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, no job of the app is to suffer from it
            taken = len(error.accepted) if isinstance(error, PartlyAcceptedError) else 0
            accepted = taken > 0
            self._lose(count - taken, f"{to} did not take them: {type(error).__name__}: {error}")
            count = taken or count
        self._told(Sent(to, task, count, (time.monotonic() - began) * 1000, accepted))

    def _lose(self, count: int, why: str) -> None:
        self._lost += count
        if time.monotonic() - self._said > _QUIET:
            self._said = time.monotonic()
            _log.warning("shadow: %d copies are left out so far: %s", self._lost, why)

    async def stop(self) -> None:
        """Send no more: what waits is left out."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
