"""Bringing the jobs of the spool to their carrier, in their order, when it is back: one process of the host at a time.

A job leaves the file behind the answer of its carrier, so whoever dies on the way leaves it to the next process, which
sends it again under the same id. It is noted that a job is about to be sent before it is: from then on it is bound.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from headway.errors import (
    BrokerError,
    BrokerRefusedError,
    BrokerUnavailableError,
    EnqueueError,
    PartlyAcceptedError,
)
from headway.job import JobId, new_job_id
from headway.raised import in_one_line
from headway.routing.failover.breaker import BreakerState
from headway.routing.failover.remembering import Memory, Remembering
from headway.routing.failover.telling import Telling
from headway.routing.failover.waiting import cancel_there, to_send
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.base import Enqueued
    from headway.clock import Clock
    from headway.job import NewJob
    from headway.routing.failover.carrier import SpooledCarrier
    from headway.routing.failover.entries import Entry
    from headway.routing.failover.others import Others
    from headway.routing.failover.router import FailingOver
    from headway.routing.failover.spool import Spool

_log = logging.getLogger("headway.failover")

BATCH: Final = 500  # jobs
_IDLE: Final = 1.0  # seconds between two looks at the file while there is nothing to do
_BUSY: Final = 0.25  # as above, while there is
_REFUSED: Final = 5.0  # seconds until a carrier is tried again that takes nothing
_PATIENCE: Final = 10.0  # seconds for one batch, at least
_LEASE_MS: Final = 15_000
_PROOF: Final = 8  # jobs that are refused one after the other: then it is not they

TOO_OLD: Final = (
    "its carrier may have had it, and would not know it any more: it waited for longer than records are kept"
)


class Flusher:
    """Brings the jobs of one carrier home. `round` is to be played for as long as the app is open."""

    def __init__(
        self,
        carrier: SpooledCarrier,
        spool: Spool,
        memory: Memory,
        clock: Clock,
        *,
        others: Others | None = None,
        router: FailingOver | None = None,
    ) -> None:
        """`others` and `router` are those of an app with several carriers."""
        self._carrier = carrier
        self._spool = spool
        self._memory = memory
        self._clock = clock
        self._others = others
        self._router = router
        self.services = Services(_log, f"spool of {carrier.name}")
        self._holder = f"{os.getpid()}-{new_job_id()}"
        self._telling = Telling(carrier, spool, clock)
        self._lease_until = 0.0
        self._not_before = 0.0  # on the monotonic clock
        self._lock = asyncio.Lock()
        self._viewed: tuple[
            object, ...
        ] = ()  # what the choices depended on when all jobs were looked through
        self.brought: Callable[[str, Sequence[NewJob]], None] | None = None
        """Told of the jobs that the carrier has taken, whichever process put them into the spool."""
        self.flushed = 0
        """Jobs brought home by this process."""
        self.why = ""
        """Why the carrier refuses all jobs; empty: it does not."""

    def start(self) -> None:
        """Play rounds from now on: also what other processes have left in the spool is brought home."""
        self.services.start("flush", self.round)

    async def stop(self) -> None:
        """Play no more; what is in the spool stays."""
        await self.services.stop()

    @property
    def held_up(self) -> str:
        """Why jobs stay here though the carrier answers; empty: they do not."""
        waiting = 0 if self._others is None else len(self._others.waiting)
        if waiting:
            return f"{waiting} jobs may be on another carrier, which is away"
        return self.why

    async def round(self) -> float:
        """Look whether the carrier is back, and bring it what waits; return the seconds until the next time."""
        carrier, breaker = self._carrier, self._carrier.breaker
        await self._telling.tell()
        await self._spool.refresh()
        if breaker.look_due:
            await self.look()
        if not self._spool.watch.has(carrier.name):
            return _IDLE if breaker.state is BreakerState.CLOSED else min(_BUSY, breaker.thresholds.pause)
        if not breaker.admits:
            await self._lead_round()
        elif time.monotonic() >= self._not_before:
            await self.flush()
        return min(_BUSY, breaker.thresholds.pause)

    async def look(self) -> bool:
        """Look whether the carrier answers, and tell its breaker."""
        breaker = self._carrier.breaker
        try:
            await self._carrier.look()
        except BrokerUnavailableError as error:
            self._carrier.away(breaker.failed(str(error)))
            return False
        except BrokerError as error:  # it says no: it takes no jobs either, as with a wrong password
            self._carrier.away(breaker.trip(str(error)))
            return False
        breaker.looked()
        return True

    async def flush(self) -> int:
        """Bring home what can be, unless another process does; return how many jobs that were."""
        async with self._lock:
            return await self._flush()

    async def _flush(self) -> int:
        name, before = self._carrier.name, self.flushed
        try:
            # Looked at first: a batch is given more time than a look, and nobody is to wait for the breaker so long.
            while self._carrier.breaker.admits and await self._leased() and await self.look():
                if not await self._bring():
                    break
        finally:
            if self._lease_until:
                self._lease_until = 0.0
                await self._spool.release(name, self._holder)
        if self.flushed > before:
            _log.info("spool: %d jobs brought to carrier %s", self.flushed - before, name)
        return self.flushed - before

    async def _leased(self) -> bool:
        now = time.monotonic()
        if now > self._lease_until - _LEASE_MS / 2000:
            if not await self._spool.take_lease(self._carrier.name, self._holder, _LEASE_MS):
                return False
            self._lease_until = now + _LEASE_MS / 1000
        return True

    async def _bring(self) -> bool:
        """Bring the first jobs; return whether any left the line. False: there are none, or they have to wait."""
        name, behind = self._carrier.name, 0
        try:
            while entries := await self._spool.head(name, BATCH, behind=behind):
                fit = await self._still_wanted(entries)
                progress = len(fit) < len(entries)
                waiting = frozenset[JobId]() if self._others is None else self._others.waiting
                fit = [one for one in fit if one.job.id not in waiting]
                if fit and (fit := await self._spool.hand_over(name, fit)):
                    progress |= await self._send(fit)
                if progress or not waiting:
                    return progress
                behind = entries[
                    -1
                ].seq  # these wait for another carrier, which is nothing to those behind them
        except (BrokerUnavailableError, TimeoutError) as error:
            self._carrier.away(self._carrier.breaker.failed(str(error) or "no answer in time"))
        return False

    async def _send(self, entries: Sequence[Entry]) -> bool:
        try:
            async with asyncio.timeout(max(_PATIENCE, self._carrier.breaker.thresholds.timeout)):
                answers = await self._carrier.store.enqueue(
                    [to_send(one, self._clock.now_ms()) for one in entries]
                )
        except PartlyAcceptedError as error:
            taken = frozenset(error.accepted)
            await self._accepted([one for one in entries if one.job.id in taken])
            if isinstance(error.__cause__, BrokerUnavailableError):
                raise error.__cause__ from error
            await self._one_by_one([one for one in entries if one.job.id not in taken])
            return True
        except (BrokerRefusedError, EnqueueError):
            return await self._one_by_one(entries)
        await self._accepted(entries, answers)
        return True

    async def _accepted(self, entries: Sequence[Entry], answers: Sequence[Enqueued] = ()) -> None:
        self.why = ""
        met = {one.id for one in answers if one.duplicate_of not in {None, one.id}}
        await self._home(entries, [one.job for one in entries if one.job.id not in met])
        self._carrier.back(self._carrier.breaker.answered())

    async def _home(self, entries: Sequence[Entry], new: Sequence[NewJob]) -> None:
        """Let jobs leave the file that their carrier has; `new` are those that it has taken as jobs of their own."""
        await cancel_there(self._carrier.store, entries)
        done = await self._spool.done([one for one in entries if one.cancelled is None])
        done += await self._spool.done([one for one in entries if one.cancelled is not None], cancelled=True)
        self.flushed += done
        if self.brought is not None and new:
            self.brought(self._carrier.name, new)

    async def _one_by_one(self, entries: Sequence[Entry]) -> bool:
        """Send each alone: those that the carrier refuses while it takes others are set aside, with the reason."""
        refused: list[tuple[Entry, Exception]] = []
        progress = False
        for entry in entries:
            try:
                async with asyncio.timeout(_PATIENCE):
                    answers = await self._carrier.store.enqueue([to_send(entry, self._clock.now_ms())])
            except EnqueueError as error:
                await self._park(entry, error)
                progress = True
            except BrokerRefusedError as error:
                refused.append((entry, error))
                if len(refused) >= _PROOF and not progress:
                    break
            else:
                await self._accepted([entry], answers)
                progress = True
        if progress:
            for entry, why in refused:
                await self._park(entry, why)
        elif refused:
            self._not_before = time.monotonic() + _REFUSED
            reason = in_one_line(refused[0][1])
            if reason != self.why:
                _log.warning("spool: carrier %s answers, but takes no jobs: %s", self._carrier.name, reason)
            self.why = reason
        return progress

    async def _park(self, entry: Entry, error: Exception) -> None:
        _log.error("spool: job %s is set aside: %s", entry.job.id, in_one_line(error))
        await self._spool.park([entry], f"refused: {in_one_line(error)}")

    async def _still_wanted(self, entries: list[Entry]) -> list[Entry]:
        """Leave out jobs that are somewhere already, and set those aside of which nobody can tell any more."""
        remembering = Remembering(self._memory, self._carrier.store, self._clock.now_ms())
        old = [
            one for one in entries if one.tried_ms is not None and not await remembering.knows(one.tried_ms)
        ]
        if over := [one for one in old if one.cancelled is not None]:
            await self._spool.done(
                over, cancelled=True
            )  # nothing is to become of them, so nobody need decide
            entries = [one for one in entries if one not in over]
        if old := [one for one in old if one.cancelled is None]:
            await self._spool.park(old, TOO_OLD)
            ids: frozenset[JobId] = frozenset(one.job.id for one in old)
            _log.error("spool: %d jobs are set aside, such as %s: %s", len(old), old[0].job.id, TOO_OLD)
            entries = [one for one in entries if one.job.id not in ids]
        if self._others is None:
            return entries
        met = await self._others.met(entries)
        there = await self._others.cancelled([one for one in entries if one.job.id in met])
        # Those that it was given before are new jobs of its own; of the others, somebody holds the name.
        await self._home(there, [one.job for one in there if one.tried_ms is not None])
        return [one for one in entries if one.job.id not in met or one.job.id in self._others.waiting]

    async def _lead_round(self) -> None:
        """Let jobs go to another carrier that were handed to nobody, when their routes have come to lead there."""
        if self._router is None or self._router.view == self._viewed:
            return
        name, view = self._carrier.name, self._router.view
        behind = 0
        while entries := await self._spool.head(name, BATCH, behind=behind):
            behind = entries[-1].seq
            groups: dict[str, list[Entry]] = {}
            for entry in entries:
                if entry.tried_ms is None and not entry.job.named:
                    groups.setdefault(self._router.choose(entry.job), []).append(entry)
            for other, some in groups.items():
                if other != name:
                    await self._spool.rebind(some, other)
        self._viewed = view
