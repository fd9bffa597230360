"""Jobs of a dead worker go back to their carriers at once; those that may have ended it are charged a crash."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from headway.job import Lease
from headway.runtime.control import Judge
from headway.runtime.deaths import blame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headway.runtime.control import CarrierUrl, Hello
    from headway.runtime.deaths import Blame
    from headway.runtime.heart import Heart
    from headway.runtime.member import Member
    from headway.runtime.slots import Started

_log = logging.getLogger("headway.supervisor")
_START: Final = (
    30.0  # seconds that another process has to start, if there is none; the lease is kept meanwhile
)
_LOOK: Final = 0.02  # seconds between looks whether another worker has settled what this one was ended for


class HandBack:
    """Takes back what dead workers of one group held."""

    def __init__(
        self,
        hearts: Mapping[CarrierUrl, Heart],
        members: Callable[[], Iterable[Member]],
        more: Callable[[], bool],
    ) -> None:
        """`members`: the processes, one of which settles what another was ended for; `more`: others may come."""
        self._hearts = hearts
        self._members = members
        self._more = more

    async def take_back(self, member: Member) -> None:
        """Take the jobs back on every carrier, until each has answered or the lease has surely run out there."""
        hello = member.hello
        if hello is None:  # it never claimed
            return
        started = member.started()
        verdict = blame(member.cause, started, member.ended_for, known=member.known)
        await asyncio.gather(
            *(
                self._take_back(hello, self._hearts[address], _part(verdict, started, lane))
                for lane, address in enumerate(hello.carriers)
            )
        )

    async def _take_back(self, hello: Hello, heart: Heart, verdict: Blame) -> None:
        give_up = time.monotonic() + 2 * hello.lease_ms / 1000
        crashed = verdict.crashed
        if verdict.timed_out:
            settled = await self._judged(hello, heart, verdict.timed_out)
            give_up = max(give_up, time.monotonic() + hello.lease_ms / 1000)
            if not settled:
                crashed = [*crashed, *(job.job_id for job in verdict.timed_out)]
        await heart.surrender(hello.worker, crashed, give_up, self._more)

    async def _judged(self, hello: Hello, heart: Heart, late: Sequence[Started]) -> bool:
        """Have a living worker ask the retry policies of these jobs: the supervisor has no code of the app."""
        leases = [Lease(job.job_id, hello.worker, job.epoch) for job in late]
        asked: Member | None = None
        lane: int | None = None
        give_up = time.monotonic() + max(2 * hello.lease_ms / 1000, _START)
        heart.pending.add(hello.worker)
        try:
            while time.monotonic() < give_up:
                if asked is not None and (hello.worker, lane) in asked.judged:
                    return True
                if asked is None or asked.ended:
                    asked = self._living(heart)
                    lane = None if asked is None else asked.lane_of(heart.address)
                    if asked is not None and lane is not None:
                        asked.tell(Judge(hello.worker, leases, lane))
                    elif not self._more():
                        break
                await asyncio.sleep(_LOOK)
        finally:
            heart.pending.discard(hello.worker)
        _log.error(
            "no worker could settle %d jobs that were ended at their time limit: it counts as a crash",
            len(late),
        )
        return False

    def _living(self, heart: Heart) -> Member | None:
        """Return a worker that claims from the carrier."""
        living = (
            one
            for one in self._members()
            if one.claiming.is_set() and not one.ended and one.lane_of(heart.address) is not None
        )
        return next(living, None)


def _part(verdict: Blame, started: Sequence[Started], lane: int) -> Blame:
    """Return the part of a verdict that concerns the jobs of one lane."""
    crashed = set(verdict.crashed)
    return type(verdict)(
        crashed=[job.job_id for job in started if job.lane == lane and job.job_id in crashed],
        timed_out=[job for job in verdict.timed_out if job.lane == lane],
    )
