"""The push carriers of one receiver: which of them a request is for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from msgspec import structs

from headway.brokers.base import PushResponse
from headway.errors import BrokerError
from headway.job import mark_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import BodySums, FireCall, PushCarrier, PushRequest
    from headway.job import Delivery, WorkerId
    from headway.push.run import Runs

_log = logging.getLogger("headway.push")
_NOT_ITS_OWN: Final = frozenset({401, 403, 404})  # what a carrier answers whose request it is not


class Served:
    """One push carrier, and the jobs of it that run here."""

    def __init__(self, name: str, broker: PushCarrier, runs: Runs) -> None:
        self.name = name
        self.broker = broker
        self.runs = runs
        self._mark = mark_of(name)

    def is_named(self, job_id: str) -> bool:
        """Tell whether a job of this id was probably sent by this carrier."""
        return job_id.endswith(self._mark)


class EachSums:
    """What a body that is cut off is proven by, for each carrier that it may be for."""

    def __init__(self, sums: Mapping[Served, BodySums | None]) -> None:
        self._sums = sums

    def update(self, part: bytes) -> None:
        """Take the next part of the body."""
        for one in self._sums.values():
            if one is not None:
                one.update(part)

    def of(self, served: Served) -> BodySums | None:
        """Return those of one carrier."""
        return self._sums.get(served)


class Carriers:
    """The carriers of a receiver, at least one."""

    def __init__(self, served: Sequence[Served]) -> None:
        self.served = served

    async def admit(self, headers: Mapping[str, str]) -> list[Served] | PushResponse:
        """Return those that do not refuse the request by its headers alone, or the refusal where all do.

        The one that the job's id names comes first: that is a hint of the sender's, which nothing is proven by.
        """
        able: list[Served] = []
        refused: PushResponse | None = None
        for one in self._in_order(headers):
            try:
                answer = await one.broker.admit(headers)
            except BrokerError:
                if len(self.served) == 1:
                    raise
                answer = None  # asked again with the whole request, unless it is that of another
            if answer is None:
                able.append(one)
            else:
                refused = refused or answer
        return refused if refused is not None and not able else able

    def sums(self, headers: Mapping[str, str], able: Sequence[Served]) -> BodySums | None:
        """Return what a body that is cut off is proven by; None: bodies have no part in the proof of this sender."""
        if len(able) == 1:
            return able[0].broker.sums(headers)
        sums = {one: one.broker.sums(headers) for one in able}
        return EachSums(sums) if any(one is not None for one in sums.values()) else None

    async def receive(
        self,
        request: PushRequest,
        able: Sequence[Served],
        *,
        worker: WorkerId,
        lease_ms: int,
        queues: frozenset[str],
    ) -> tuple[Served, Delivery | FireCall | PushResponse]:
        """Have the request received by the carrier whose it is: the first that does not say that it is not.

        Raises what `PushBroker.receive` raises. One that cannot tell keeps the request: another could take a job for
        its own that the first one has in its guard.
        """
        refused: tuple[Served, PushResponse] | None = None
        for one in able:
            whole = request
            if isinstance(request.sums, EachSums):
                whole = structs.replace(request, sums=request.sums.of(one))
            received = await one.broker.receive(whole, worker=worker, lease_ms=lease_ms, queues=queues)
            if not (isinstance(received, PushResponse) and received.status in _NOT_ITS_OWN):
                return one, received
            refused = refused or (one, received)
        assert refused is not None  # noqa: S101 - at least one was admitted
        return refused

    async def hand_back(self, soft: float, hard: float, end: float) -> None:
        """Hand back what runs; see `Runs.hand_back`."""
        await asyncio.gather(*(one.runs.hand_back(soft, hard, end) for one in self.served))

    def log_end(self, seconds: float) -> None:
        """Log what the guards came to, once the receiver is drained after so many seconds."""
        for one in self.served:
            stats = one.broker.guard_stats()
            whose = "its guard" if len(self.served) == 1 else f"the guard of carrier {one.name}"
            _log.info(
                "the receiver is drained after %.1f s; %s took %d commands for %d jobs, %.1f each; %d came late",
                seconds,
                whose,
                stats.commands,
                stats.jobs,
                stats.commands_per_job,
                stats.superseded,
            )

    async def close(self) -> None:
        """End the services of all."""
        await asyncio.gather(*(one.runs.close() for one in self.served))

    def _in_order(self, headers: Mapping[str, str]) -> Sequence[Served]:
        if len(self.served) == 1:
            return self.served
        job_id = headers.get("x-headway-job", "")
        return sorted(self.served, key=lambda one: not one.is_named(job_id))
