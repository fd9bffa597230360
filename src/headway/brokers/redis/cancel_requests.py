"""Cancel requests that a worker would miss: published while it could not hear, or ahead of the job that they are about.

A request stays open on the server (hash creq) until its job ends. So one look finds whatever was missed, and nothing
that is over. It is taken when a subscription begins or is restored, and when a job arrives whose request came first:
the answer of a claim comes by the other connection, and what a lost answer or message held comes with a later one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headway.brokers.redis.session import Session
    from headway.job import Delivery, WorkerId

_AGAIN: Final = 1.0  # seconds until a server that could not be asked is asked again
_REMEMBERED: Final = 2000  # requests: several times what a worker holds


class Requests:
    """The cancel requests to one worker."""

    def __init__(self, session: Session, worker: WorkerId, tell: Callable[[JobId], None]) -> None:
        """`tell` is called on the loop, for each request at least once after its job was delivered."""
        self._session = session
        self._worker = worker
        self._tell = tell
        self._heard: dict[JobId, None] = {}  # the latest last
        self._wanted = False
        self._looking: asyncio.Task[None] | None = None

    def hear(self, job_id: JobId) -> None:
        """One came by message, perhaps before its job."""
        self._remember(job_id)
        self._tell(job_id)

    def delivered(self, deliveries: Iterable[Delivery]) -> None:
        """Jobs are about to reach the worker."""
        if self._heard and any(one.lease.job_id in self._heard for one in deliveries):
            self.look()

    def look(self) -> None:
        """Tell of what is open on the server, as soon as it can be asked."""
        self._wanted = True
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())

    def close(self) -> None:
        """Tell no more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                try:
                    found = await self._open()
                except BrokerError:
                    self._wanted = True
                    await asyncio.sleep(_AGAIN)
                    continue
                for job_id in found:
                    self.hear(job_id)
        finally:
            self._looking = None

    async def _open(self) -> list[JobId]:
        """Return which jobs of this worker are to be cancelled."""
        prefix = self._session.prefix
        asked = await self._session.command("HKEYS", f"{prefix}creq")
        if not asked:
            return []
        runs = await self._session.command("HMGET", f"{prefix}run", *asked)
        mine = self._worker.encode()
        return [
            JobId(one.decode(errors="replace"))
            for one, run in zip(asked, runs, strict=True)
            if run is not None and run.split(b"|", 7)[-1] == mine
        ]

    def _remember(self, job_id: JobId) -> None:
        self._heard.pop(job_id, None)
        self._heard[job_id] = None
        if len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
