"""A supervisor's part for each carrier of its workers: a connection, heartbeats, handing jobs back.

Each in loops of its own: a carrier that is away delays no heartbeat of another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError, BrokerUnavailableError, ConfigError
from headway.runtime.keeper import BEATS_PER_LEASE, look_at_connection
from headway.service import Outage, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from headway.brokers.base import BrokerSettings, Carrier
    from headway.job import JobId, WorkerId
    from headway.runtime.control import CarrierUrl, Hello
    from headway.runtime.member import Member

_log = logging.getLogger("headway.supervisor")
_CONNECTED: Final = 3600.0  # seconds: there is nothing left to do
_PAUSE: Final = 0.2  # seconds between tries


class Heart:
    """Keeps the leases of one group's workers on one carrier."""

    def __init__(
        self,
        address: CarrierUrl,
        hello: Hello,
        open_carrier: Callable[[str, BrokerSettings], Carrier],
        members: Callable[[], Collection[Member]],
    ) -> None:
        """`hello` is of the first worker that serves this carrier; `members` are all processes of the group."""
        self.address = address
        self.carrier: Carrier | None = None  # once it is open
        self.pending: set[WorkerId] = set()  # dead; their leases must last until their jobs are settled
        several = len(hello.carriers) > 1
        self._said = f"carrier {address.name}: " if several else ""
        self._outage = Outage(
            _log, f"supervisor: carrier {address.name}" if several else "supervisor: its carrier"
        )
        owner = f"supervisor, carrier {address.name}" if several else "supervisor"
        self.services = Services(_log, owner, outage=self._outage)
        self._broker = hello.broker
        self._lease_ms = hello.lease_ms
        self._pause = hello.lease_ms / 1000 / BEATS_PER_LEASE
        self._open_carrier = open_carrier
        self._members = members

    def start(self) -> None:
        """Connect, and beat from then on."""
        self.services.start("carrier", self._connect)
        self.services.start("heart", self._beat, first=self._pause)

    def hear(self, pid: int, why: str) -> None:
        """Learn from a worker process why it cannot reach the carrier; empty: it can, or has ended."""
        if why:
            self._outage.lost(f"process {pid}", BrokerUnavailableError(why))
        else:
            self._outage.answers(f"process {pid}")

    async def close(self) -> None:
        """Close the connection."""
        if self.carrier is not None:
            await self.carrier.close()

    async def surrender(
        self, worker: WorkerId, crashed: Sequence[JobId], give_up: float, more: Callable[[], bool]
    ) -> None:
        """Take back what a dead worker held here, until the carrier has answered or `give_up` (time.monotonic()).

        `crashed` are charged. `more`: the group goes on; else a carrier that could never be connected is not waited
        for.
        """
        while True:
            try:
                if self.carrier is None:
                    msg = "the supervisor has no connection yet"
                    raise BrokerUnavailableError(msg)
                count = await self.carrier.surrender(worker, started=crashed)
            except BrokerError as error:
                never = self.carrier is None and not more()  # the group ends, and could not connect at all
                if never or time.monotonic() > give_up:
                    _log.error(
                        "%sworker %s: its jobs come back after the lease: %s", self._said, worker, error
                    )
                    return
                await asyncio.sleep(_PAUSE)
                continue
            if count:
                _log.warning("%sworker %s: %d jobs were handed back", self._said, worker, count)
            return

    async def _connect(self) -> float:
        if self.carrier is None:
            try:
                carrier = self._open_carrier(self.address.url, self._broker)
            except ConfigError:
                return _CONNECTED  # the worker reports the same error and ends, and the supervisor with it
            await carrier.open()
            self.carrier = carrier
            if carrier.capabilities.connected is not None:
                self.services.start("connection", partial(look_at_connection, carrier))
        return _CONNECTED

    async def _beat(self) -> float:
        """Beat once, for the jobs of all processes on this carrier."""
        carrier = self.carrier
        asked: dict[WorkerId, tuple[Member, int, set[JobId]]] = {}
        for member in self._members():
            hello, lane = member.hello, member.lane_of(self.address)
            if (
                hello is not None
                and lane is not None
                and (member.needs_heartbeat(lane) or hello.worker in self.pending)
            ):
                asked[hello.worker] = (member, lane, {job.job_id for job in member.started(lane)})
        if not asked or carrier is None:
            return self._pause
        for beat in await carrier.heartbeat(list(asked), self._lease_ms):
            member, lane, before = asked[beat.worker]
            # Meanwhile it may have ended. And what it began since, it began under a lease of its own: when the
            # carrier looked, there was perhaps nothing to hold.
            if (
                not beat.held
                and member in self._members()
                and any(job.job_id in before for job in member.started(lane))
            ):
                member.lost(lane)
        return self._pause
