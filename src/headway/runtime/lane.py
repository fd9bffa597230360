"""A lane: the part of a worker that serves one carrier, with the loops that ask it and the jobs held of it.

The life of a job here: `fetch` claims it, the worker's runners run it, `run_ended` has the settler settle it.
`_listen` gets the signals: work, requests to cancel and to drain, a lost lease. Lanes share the worker's places and
nothing else, so a carrier that is slow or away does not delay the jobs of another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from headway.brokers.base import CancelRequested, DrainRequested, Handed, LeaseLost, Settlement, Wake
from headway.errors import BrokerError
from headway.job import Released
from headway.runtime.keeper import BEATS_PER_LEASE, beat, look_at_connection
from headway.runtime.maintenance import first_look, tend
from headway.runtime.reporter import Reporter
from headway.runtime.run import Stop
from headway.runtime.settler import Settler
from headway.service import Outage, Services, must_go_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headway.app.counting import Count
    from headway.brokers.base import Carrier, Claimed, QueueWant, Signal
    from headway.clock import Clock
    from headway.job import Delivery, JobId, JobRecord, Lease, Outcome, WorkerId
    from headway.runtime.run import JobRun, Reports
    from headway.runtime.runners import Runners
    from headway.runtime.slots import Slots

_log = logging.getLogger("headway.worker")

_LONGEST_WAIT: Final = (
    60.0  # seconds without a claim and without a wake-up: one that was lost to a frozen worker costs no more
)
_LISTEN_AGAIN: Final = 0.1  # seconds after the signals ended
_ASK_PAUSE: Final = 0.2  # seconds until a carrier that is away is asked again
_MAX_UNSETTLED: Final = 2000  # outcomes on their way to the carrier while new jobs are claimed


class Wants(Protocol):
    """How many jobs a lane may claim: a worker's `Demand`, or the lane's share of it."""

    held: int
    patience: float | None

    def room(self) -> int: ...  # noqa: D102 - see Demand
    def none(self) -> int: ...  # noqa: D102
    def leave(self) -> None: ...  # noqa: D102
    def wants(self, room: int) -> list[QueueWant]: ...  # noqa: D102
    def free(self, queue: str) -> int | None: ...  # noqa: D102
    def claimed(self, room: int, count: int) -> None: ...  # noqa: D102
    def failed(self) -> bool: ...  # noqa: D102
    def take(self, queue: str) -> None: ...  # noqa: D102
    def give(self, queue: str) -> None: ...  # noqa: D102
    def ended(self, seconds: float, now: float) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Shared:
    """What the lanes of a worker have in common. `kept`: seconds for which records are kept at least.

    `on_outage` is called with the number of a lane and why its carrier is not available, empty when it is again;
    `on_drain` when somebody asked this worker to drain, perhaps more than once.
    """

    worker: WorkerId
    queues: list[str]
    lease_ms: int
    kept: float
    clock: Clock
    runners: Runners
    slots: Slots | None
    supervised: bool
    stopping: asyncio.Event
    on_drain: Callable[[], None]
    on_outage: Callable[[int, str], None] | None = None


class Lane:
    """The part of a worker that serves one carrier."""

    def __init__(
        self, carrier: Carrier, shared: Shared, *, number: int = 0, name: str = "", count: Count | None = None
    ) -> None:
        """`name` is that of the carrier, where the worker serves several; `count` is called with what was settled."""
        self.name = name
        self.number = number
        self.carrier = carrier
        self.runs: dict[JobId, JobRun] = {}  # under way
        owner = f"worker {shared.worker}" + (f", carrier {name}" if name else "")
        outage = f"worker {shared.worker}: " + (f"carrier {name}" if name else "its carrier")
        tell = None if shared.on_outage is None else partial(shared.on_outage, number)
        self.services = Services(_log, owner, outage=Outage(_log, outage, tell=tell))
        self.demand: Wants
        self._owner = owner
        self._shared = shared
        self._worker = shared.worker
        self._lease_ms = shared.lease_ms
        self._slots = shared.slots
        self._runners = shared.runners
        self._stopping = shared.stopping
        self._claims = self.services.watch("claim")
        self._settler = Settler(carrier, self._answered, self.services.watch("settle"), count)
        self.reporter: Reports = Reporter(carrier, shared.clock, self.services.remarks)
        self.leases_lost = 0
        self._claiming = False
        self._idling = False  # the carrier may wake this worker, or hand it a job
        self._unsettled = 0  # deliveries held here: running, waiting for a place, or on their way back
        self._places_freed = 0
        self._changed = asyncio.Event()  # a place is free, there may be work, or it is time to stop
        self._woken = True
        self.ready = asyncio.Event()  # listening and about to claim
        self.asked = (
            asyncio.Event()
        )  # the carrier has answered, or is away, or there is no place for its jobs

    # --- for the worker -----------------------------------------------------------------------------------------

    @property
    def holds(self) -> int:
        """How many jobs are held here."""
        return self._unsettled

    def start(self) -> None:
        """Start the loops but `fetch`."""
        self._listens = self.services.start("listen", self._listen)
        self.services.start("tend", self._tend, first=first_look())
        if self.carrier.capabilities.connected is not None:
            self.services.start("connection", partial(look_at_connection, self.carrier))
        if not self._shared.supervised:
            self.services.start("lease", self._beat, first=self._lease_ms / 1000 / BEATS_PER_LEASE)

    def changed(self) -> None:
        """Check again whether there is room, or whether it is time to stop."""
        self._places_freed += 1
        self._changed.set()

    def claim_again(self) -> None:
        """Claim again: a carrier that was emptied, or took the lease back, no longer knows that this worker is idle."""
        self._woken = True
        self._changed.set()

    def stay_full(self) -> None:
        """Hand back what waits, as all places stay taken, and let the carrier wake other workers."""
        self.hand_back_waiting()
        self.asked.set()
        if self._idling:
            self.claim_again()

    def lease_lost(self) -> None:
        """Stop every run: other workers may have the jobs by now."""
        self.leases_lost += 1
        if self.holds:
            _log.warning("%s: the lease was lost; %d jobs are given up", self._owner, self.holds)
        # The release of a lost job is superseded; one that was claimed since does go back.
        self.hand_back_waiting()
        for run in list(self.runs.values()):
            run.interrupt(Stop.LOST)
        self.claim_again()

    def hand_back_waiting(self) -> None:
        """Hand back what waits for a place."""
        self.hand_back(self._runners.take_waiting(self))

    def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """Hand back deliveries of this lane: last in, first back, so that the head of the queue keeps its order."""
        for delivery in reversed(deliveries):
            self._settler.settle(delivery, Released())
            self._free_place(delivery)

    async def leave(self) -> None:
        """Let the carrier wake other workers from now on."""
        if self._idling:
            await self._claim([], 0)
            self.hand_back_waiting()

    async def finish(self) -> None:
        """Wait until all outcomes are settled."""
        await self._settler.finish()
        if not self._shared.supervised:
            # Jobs handed over in the meantime would otherwise wait for the end of their lease.
            with contextlib.suppress(BrokerError):
                await self.carrier.surrender(self._worker, started=())

    async def records(self, leases: Iterable[Lease]) -> Sequence[JobRecord | None]:
        """Return the jobs' records, as soon as the carrier answers."""
        ids = [lease.job_id for lease in leases]
        while True:
            try:
                return await self.carrier.get(ids)
            except BrokerError:
                await asyncio.sleep(_ASK_PAUSE)

    async def settle(self, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
        """Settle jobs that another worker held, under its leases."""
        items = [Settlement(one.lease, outcome) for one, outcome in zip(deliveries, outcomes, strict=True)]
        await self._settler.send(items, deliveries)

    # --- its own loops ------------------------------------------------------------------------------------------

    async def _tend(self) -> float:
        return await tend(self.carrier, busy=self.holds > 0, kept=self._shared.kept, name=self.name)

    async def _beat(self) -> float:
        return await beat(
            self.carrier,
            self._worker,
            self._lease_ms,
            holds=self.holds > 0,
            running=lambda: [run.delivery.lease for run in self.runs.values()],
            lost=self.lease_lost,
        )

    # --- claiming -----------------------------------------------------------------------------------------------

    async def fetch(self) -> None:
        """Claim until it is time to stop."""
        while not self._stopping.is_set():
            try:
                await self._fetch_once()
            except BaseException as error:
                if must_go_on(error):
                    raise
                self._idling = self.demand.failed() or self._idling
                self.asked.set()
                await self._wait_until(lambda: False, self._claims.failed(error))

    async def _fetch_once(self) -> None:
        demand = self.demand
        before = self._places_freed
        # Ended jobs take no place; but no more are claimed while the carrier is behind with their outcomes.
        room = demand.room() if self._unsettled - demand.held < _MAX_UNSETTLED else demand.none()
        wants = demand.wants(room) if room else []
        if not wants:
            if not self._idling:
                await self._wait_until(lambda: self._places_freed != before, demand.patience)
                return
            demand.leave()
        self._woken = False
        claimed = await self._claim(wants, room if wants else 0)
        if self._idling and not self._woken:
            await self._wait_for_work(self._until(claimed), self._told(wants, claimed))

    def _told(self, wants: Sequence[QueueWant], claimed: Claimed) -> dict[str, int]:
        """How many more jobs the carrier may take this worker to want, of each queue with a limit."""
        told = {queue: 0 for queue in self._shared.queues if self.demand.free(queue) is not None}
        for want in wants:
            if want.queue in told:
                told[want.queue] = want.limit
        for delivery in claimed.deliveries:
            if delivery.queue in told:
                told[delivery.queue] -= 1
        return told

    async def _claim(self, wants: list[QueueWant], room: int) -> Claimed:
        """Claim. A claim for nothing tells the carrier that no place is left, so that it wakes other workers."""
        self._hold(claiming=True)
        try:
            claimed = await self.carrier.claim(
                wants, worker=self._worker, limit=room, lease_ms=self._lease_ms
            )
        finally:
            self._hold(claiming=False)
        self._claims.went_well()
        for delivery in claimed.deliveries:
            self._take(delivery)
        self._hold(claiming=False)
        self.demand.claimed(room, len(claimed.deliveries))
        self._idling = len(claimed.deliveries) < room
        self.ready.set()
        self.asked.set()
        return claimed

    def _take(self, delivery: Delivery) -> None:
        self._unsettled += 1
        self.demand.take(delivery.queue)
        self._runners.add(delivery, self)

    def _until(self, claimed: Claimed) -> float:
        if claimed.next_in_ms is None:
            return _LONGEST_WAIT * random.uniform(0.8, 1.2)  # noqa: S311 - spread
        return min(_LONGEST_WAIT, claimed.next_in_ms / 1000)

    async def _wait_for_work(self, seconds: float, told: Mapping[str, int]) -> None:
        """Wait until a wake-up, or until the carrier was `told` what is no longer so of a queue with a limit.

        The other queues were empty a moment ago, and so were those of which fewer came than were wanted. What counts
        is how full a queue is, not that something ended: so nothing is missed that happens while a claim is under
        way, and lanes do not wake each other with claims that bring nothing.
        """
        await self._wait_until(
            lambda: self._woken or any(self._is_outdated(queue, count) for queue, count in told.items()),
            seconds,
        )

    def _is_outdated(self, queue: str, told: int) -> bool:
        free = self.demand.free(queue) or 0
        return free > 0 if told <= 0 else free < told

    async def _wait_until(self, happened: Callable[[], object], seconds: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if seconds is None else loop.time() + seconds):
                while not self._stopping.is_set() and not happened():
                    self._changed.clear()
                    await self._changed.wait()

    def run_ended(self, run: JobRun, outcome: Outcome) -> None:
        """Settle the outcome of a run."""
        now = time.monotonic()
        self.demand.ended(now - run.started, now)
        self._settler.settle(run.delivery, outcome, (run.started, now))
        self._free_place(run.delivery)

    def _free_place(self, delivery: Delivery) -> None:
        self.demand.give(delivery.queue)
        self._places_freed += 1
        self._changed.set()

    def _answered(self, deliveries: Sequence[Delivery]) -> None:
        """Count deliveries that this worker no longer holds."""
        self._unsettled -= len(deliveries)
        self._hold(claiming=self._claiming)
        if self._unsettled - self.demand.held + len(deliveries) >= _MAX_UNSETTLED:
            self._places_freed += 1
            self._changed.set()

    def _hold(self, *, claiming: bool) -> None:
        """Note for the supervisor how many jobs need the lease."""
        self._claiming = claiming
        if self._slots is not None:
            self._slots.hold(self._unsettled + claiming, self.number)

    # --- listening ----------------------------------------------------------------------------------------------

    async def _listen(self) -> float:
        async for signal in self.carrier.signals(self._worker, handed=True):
            self._listens.went_well()
            self._hear(signal)
        return _LISTEN_AGAIN

    def _hear(self, signal: Signal) -> None:
        match signal:
            case Wake():
                self.claim_again()
            case Handed(delivery=delivery):
                self._take(delivery)
                self._hold(claiming=self._claiming)
                self._idling = False  # until the next claim
                self._woken = True  # claim again: that makes the worker idle anew, and acknowledges this job
                self._changed.set()
                if self._stopping.is_set():
                    self.hand_back_waiting()
            case CancelRequested(job_id=job_id):
                waiting = self._runners.cancel(job_id, self)
                if waiting is not None:
                    # The carrier cancels a job with an open request when it is handed back.
                    self.hand_back([waiting])
            case LeaseLost():
                self.lease_lost()
            case DrainRequested():
                self._shared.on_drain()
