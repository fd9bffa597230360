"""What a dead worker held goes back to the carrier at once, and whoever is to blame is charged."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError, BrokerUnavailableError
from headway.job import Lease
from headway.runtime.control import Judge
from headway.runtime.deaths import blame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headway.brokers.base import Carrier
    from headway.job import JobId, WorkerId
    from headway.runtime.control import Hello
    from headway.runtime.member import Member
    from headway.runtime.slots import Started

_log = logging.getLogger("headway.supervisor")
_PAUSE: Final = 0.2  # seconds between tries
_START: Final = (
    30.0  # seconds that another process has to start, if there is none; the lease is kept meanwhile
)
_LOOK: Final = 0.02  # seconds between looks whether another worker has settled what this one was ended for


class HandBack:
    """Takes back what dead workers of one group held."""

    def __init__(self, members: Callable[[], Iterable[Member]], more: Callable[[], bool]) -> None:
        """`members`: the processes, one of which settles what another was ended for; `more`: others may come."""
        self.carrier: Carrier | None = None  # once it is open
        self.pending: set[WorkerId] = set()  # dead, and their leases must last until their jobs are settled
        self._members = members
        self._more = more

    async def take_back(self, member: Member) -> None:
        """Do so, until the carrier has answered or the lease has surely run out."""
        hello = member.hello
        if hello is None:  # it never claimed
            return
        verdict = blame(member.cause, member.started(), member.ended_for, known=member.known)
        give_up = time.monotonic() + 2 * hello.lease_ms / 1000
        crashed = verdict.crashed
        if verdict.timed_out:
            settled = await self._judged(hello, verdict.timed_out)
            give_up = max(give_up, time.monotonic() + hello.lease_ms / 1000)
            if not settled:
                crashed = [*crashed, *(job.job_id for job in verdict.timed_out)]
        await self._surrender(hello.worker, crashed, give_up)

    async def _judged(self, hello: Hello, late: Sequence[Started]) -> bool:
        """Have a living worker ask the retry policies of these jobs: the supervisor has no code of the app."""
        leases = [Lease(job.job_id, hello.worker, job.epoch) for job in late]
        asked: Member | None = None
        give_up = time.monotonic() + max(2 * hello.lease_ms / 1000, _START)
        self.pending.add(hello.worker)
        try:
            while time.monotonic() < give_up:
                if asked is not None and hello.worker in asked.judged:
                    return True
                if asked is None or asked.ended:
                    living = (one for one in self._members() if one.claiming.is_set() and not one.ended)
                    asked = next(living, None)
                    if asked is not None:
                        asked.tell(Judge(hello.worker, leases))
                    elif not self._more():
                        break
                await asyncio.sleep(_LOOK)
        finally:
            self.pending.discard(hello.worker)
        _log.error(
            "no worker could settle %d jobs that were ended at their time limit: it counts as a crash",
            len(late),
        )
        return False

    async def _surrender(self, worker: WorkerId, crashed: Sequence[JobId], give_up: float) -> None:
        while True:
            try:
                if self.carrier is None:
                    msg = "the supervisor has no connection yet"
                    raise BrokerUnavailableError(msg)
                count = await self.carrier.surrender(worker, started=crashed)
            except BrokerError as error:
                never = (
                    self.carrier is None and not self._more()
                )  # the group ends, and could not connect at all
                if never or time.monotonic() > give_up:
                    _log.error("worker %s: its jobs come back after the lease: %s", worker, error)
                    return
                await asyncio.sleep(_PAUSE)
                continue
            if count:
                _log.warning("worker %s: %d jobs were handed back", worker, count)
            return
