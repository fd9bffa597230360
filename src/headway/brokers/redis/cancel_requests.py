"""Requests that a worker would miss: published while it was not subscribed, or before the job reached it.

A request to cancel stays in hash `creq` on the server until its job ends, so one look there finds all that were missed,
and none that are over. The worker looks when its subscription begins or is restored, and when a job arrives after its
request: jobs and requests come by different connections, and a job from a lost answer comes with a later claim. Whether
it was asked to drain is looked for on the same occasions.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headway.brokers.redis import drains
from headway.errors import BrokerError
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headway.brokers.redis.session import Session
    from headway.job import Delivery, WorkerId

_AGAIN: Final = 1.0  # seconds until a server that did not answer is asked again
_REMEMBERED: Final = 2000  # requests: several times what a worker holds


class Requests:
    """The requests to one worker: to cancel jobs, and to drain."""

    def __init__(
        self,
        session: Session,
        worker: WorkerId,
        tell: Callable[[JobId], None],
        drain: Callable[[], None],
        *,
        begins: bool,
    ) -> None:
        """`tell` is called on the loop, for each request at least once after its job was delivered.

        `drain` is called when the worker was asked to drain. `begins`: an earlier worker of its name is gone.
        """
        self._session = session
        self._worker = worker
        self._tell = tell
        self._drain = drain
        self._begins = begins
        self._heard: dict[JobId, None] = {}  # in the order they came
        self._wanted = False
        self._looking: asyncio.Task[None] | None = None

    def hear(self, job_id: JobId) -> None:
        """Pass on a request that came by message, perhaps before its job."""
        self._remember(job_id)
        self._tell(job_id)

    def delivered(self, deliveries: Iterable[Delivery]) -> None:
        """Look again if a request came before one of these jobs, which the worker is about to get."""
        if self._heard and any(one.lease.job_id in self._heard for one in deliveries):
            self.look()

    def look(self) -> None:
        """Pass on the requests that are open on the server, as soon as it answers."""
        self._wanted = True
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())

    def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                try:
                    found = await self._open()
                    asked = await self._is_asked_to_drain()
                except BrokerError:
                    self._wanted = True
                    await asyncio.sleep(_AGAIN)
                    continue
                for job_id in found:
                    self.hear(job_id)
                if asked:
                    self._drain()
        finally:
            self._looking = None

    async def _is_asked_to_drain(self) -> bool:
        if self._begins:
            await drains.forget(self._session, self._worker)
            self._begins = False
            return False
        return await drains.is_asked(self._session, self._worker)

    async def _open(self) -> list[JobId]:
        """Return the jobs of this worker that have an open request."""
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
