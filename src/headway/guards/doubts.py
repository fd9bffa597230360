"""Leases that were perhaps taken: the store did not answer, and may have done all the same what it was asked.

Nobody runs under such a lease, for its delivery was answered 503. The next delivery that comes to this process takes
the job without waiting and without counting a crash. For one that comes to another process the lease is given back as
soon as the store answers again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerUnavailableError, HeadwayError
from headway.guards import transitions
from headway.service import Services

if TYPE_CHECKING:
    from headway.guards.changes import Changes
    from headway.job import JobId, WorkerId

_log = logging.getLogger("headway.guard")

_MOST: Final = 10_000  # jobs; beyond them the oldest doubt goes: its lease then ends by its time
_LOOKS: Final = (
    0.0,
    1.0,
    5.0,
)  # seconds between answers of the store: what it was asked before may be done after


class Doubts:
    """The doubtful leases of this process."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._workers: OrderedDict[JobId, set[WorkerId]] = OrderedDict()
        self._looks: dict[tuple[JobId, WorkerId], tuple[int, float]] = {}  # made, and when the next is due
        self._any = asyncio.Event()
        self._services: Services | None = None

    def of(self, job_id: JobId) -> frozenset[WorkerId]:
        """Return the holders under whom nobody runs the job."""
        return frozenset(self._workers.get(job_id, ()))

    def add(self, job_id: JobId, worker: WorkerId) -> None:
        """Doubt that a lease was taken by this holder, which is the name of one delivery."""
        self._workers.setdefault(job_id, set()).add(worker)
        self._workers.move_to_end(job_id)
        while len(self._workers) > _MOST:
            self._forget(next(iter(self._workers)))
        self._looks[job_id, worker] = (0, time.monotonic())
        self._any.set()
        if self._services is None:
            self._services = Services(_log, "guard")
            self._services.start("leases in doubt", self._give_back)

    def clear(self, job_id: JobId) -> None:
        """Doubt no more: the job was taken by a delivery whose answer came, or has completed."""
        if job_id in self._workers:
            self._forget(job_id)

    async def close(self) -> None:
        """Give back no more."""
        services, self._services = self._services, None
        if services is not None:
            await services.stop()

    async def _give_back(self) -> float:
        """Give back what was taken; return the seconds until the next look."""
        self._any.clear()
        for key in self._due():
            job_id, worker = key
            try:
                settled = await self._changes.change(job_id, partial(transitions.give_back, worker=worker))
            except BrokerUnavailableError:
                raise  # the store is still away: all are looked at again
            except HeadwayError as error:
                _log.warning("job %s: a lease that nobody uses ends by its time: %s", job_id, error)
                self._looked(key, last=True)
                continue
            if settled.applied:
                _log.info("job %s: a lease is given back that a call without an answer had taken", job_id)
            self._looked(key, last=settled.applied)
        if not self._looks:
            await self._any.wait()
            return 0.0
        return max(0.05, min(at for _, at in self._looks.values()) - time.monotonic())

    def _due(self) -> list[tuple[JobId, WorkerId]]:
        now = time.monotonic()
        return [key for key, (_, at) in self._looks.items() if at <= now]

    def _looked(self, key: tuple[JobId, WorkerId], *, last: bool) -> None:
        made = self._looks.get(key, (0, 0.0))[0] + 1
        if last or made >= len(_LOOKS):
            self._looks.pop(key, None)
        else:
            self._looks[key] = (made, time.monotonic() + _LOOKS[made])

    def _forget(self, job_id: JobId) -> None:
        for worker in self._workers.pop(job_id):
            self._looks.pop((job_id, worker), None)
