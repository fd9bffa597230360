"""A carrier that pushes, presented as one whose jobs are claimed: so the suite tells the same stories of both.

A claim lets the emulator dispatch what is due, as much as is wanted, and hands each call to `receive`, as a receiver
would; a settle gives the answer of `answer` back to the emulator. The rest is the carrier's own. What stands in for
the passing of time and the death of machines:

- A call whose lease ran out is broken off, as the connection of a dead receiver is.
- A task that Cloud Tasks would send again after its own back-off is sent again at the next claim: the back-off is the
  dispatcher's affair, and its tests are elsewhere.
- An expired or cancelled job is settled as such before its handler runs, as the executor does it.

In which order calls come is not arranged: the emulator's order of due times shows through.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.brokers.base import (
    Claimed,
    Heartbeat,
    LeaseState,
    PushRequest,
    PushResponse,
    SettleResult,
    Tended,
)
from headway.brokers.cloudtasks.broker import CloudTasksBroker
from headway.config import Settings
from headway.emulator.credentials import Credentials
from headway.emulator.model import RateLimits
from headway.emulator.rates import TokenBucket
from headway.emulator.server import Emulator
from headway.emulator.target import HttpAnswer
from headway.errors import UnsupportedError
from headway.job import Cancelled, Delivery, Expired, JobId, Lease, WorkerId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from headway.brokers.base import BrokerSettings, QueueWant, Settlement, Signal
    from headway.emulator.dispatch import Dispatcher
    from headway.emulator.target import HttpCall
    from headway.guards.changes import Settled
    from headway.guards.guard import Guard
    from headway.job import Outcome
    from headway.testing import FakeClock

PROJECT: Final = "conformance"
PLACE: Final = "here"
_SECRET: Final = b"of the conformance suite"
_RATE: Final = 1e9  # tasks a second: rates are tested elsewhere, and the clock stands still
_PRUNED_AT_ONCE: Final = 1000

_applied: ContextVar[list[bool]] = ContextVar("applied")


@dataclass(slots=True, eq=False)
class Call:
    """A call of the emulator that was not answered yet."""

    http: HttpCall
    answer: asyncio.Future[HttpAnswer | None]
    lease: Lease | None = None  # under which its job runs
    until_ms: int = 0

    @property
    def queue(self) -> str:
        """The full name of its Cloud Tasks queue."""
        return self.http.task.rpartition("/tasks/")[0]

    def request(self) -> PushRequest:
        """The call as a receiver sees it."""
        return PushRequest({name.lower(): value for name, value in self.http.headers.items()}, self.http.body)


class Hub:
    """The emulator of one test, and its calls: all carriers of the test share it, as receivers share a service."""

    def __init__(self, clock: FakeClock, folder: Path) -> None:
        self.clock = clock
        self.guard_file = folder / "guard.db"
        self.calls: list[Call] = []
        self.backing_off: dict[str, None] = {}  # tasks, in the order in which they were sent back
        self._emulator = Emulator(
            clock=clock,
            deliver=self._deliver,
            credentials=Credentials(secret=_SECRET),
            automatic=False,
            throttle=False,
        )

    @property
    def url(self) -> str:
        """Where carriers find it."""
        return f"cloudtasks://{PROJECT}/{PLACE}?emulator={self._emulator.grpc_address}"

    @property
    def guard_url(self) -> str:
        """Where their guards keep what they know."""
        return f"sqlite:///{self.guard_file}"

    async def open(self) -> None:
        """Start the emulator."""
        await self._emulator.open()

    async def close(self) -> None:
        """End it."""
        await self._emulator.close()

    async def _deliver(self, http: HttpCall) -> HttpAnswer | None:
        call = Call(http, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        try:
            return await call.answer
        except asyncio.CancelledError:
            self.backing_off[http.task] = None  # past its dispatch deadline
            raise
        finally:
            self.calls.remove(call)

    async def arrivals(self, queue: str, room: int, tried: set[str]) -> list[Call]:
        """Return up to `room` calls of the queue that nobody took yet, dispatching what is due if there are none."""
        waiting = self._waiting(queue)
        if not waiting:
            self._dispatch(queue, room)
            await self._arrived()
            waiting = self._waiting(queue)
        if not waiting and not self._paused(queue):
            for name in [name for name in self.backing_off if name.startswith(f"{queue}/tasks/")]:
                if name in tried or len(waiting) == room:
                    continue
                tried.add(name)
                del self.backing_off[name]
                task = self._emulator.store.task(name)
                if task is not None:
                    self._dispatcher.run_now(task)
            await self._arrived()
            waiting = self._waiting(queue)
        return waiting[:room]

    async def give(self, call: Call, response: PushResponse | None) -> None:
        """Answer a call; None: the connection breaks. A task that did not end is sent again at the next claim."""
        answer = None if response is None else HttpAnswer(response.status, response.headers)
        if call.answer.done():
            return
        call.answer.set_result(answer)
        if answer is None or not 200 <= answer.status < 300:
            self.backing_off[call.http.task] = None
        while call in self.calls:  # noqa: ASYNC110 - a turn or two of the loop
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def break_off(self) -> None:
        """Break the connections of receivers whose leases ran out."""
        now = self.clock.now_ms()
        for call in [call for call in self.calls if call.lease is not None and call.until_ms <= now]:
            await self.give(call, None)

    @property
    def _dispatcher(self) -> Dispatcher:
        return self._emulator.dispatcher

    def _waiting(self, queue: str) -> list[Call]:
        return [
            call
            for call in self.calls
            if call.lease is None and call.queue == queue and not call.answer.done()
        ]

    def _paused(self, queue: str) -> bool:
        found = self._emulator.store.queue(queue)
        return found is None or found.state != "RUNNING"

    def _dispatch(self, wanted: str, room: int) -> None:
        """Dispatch up to so many tasks of one queue, by its limit of concurrency."""
        now = self.clock.now_ms()
        for queue in self._emulator.store.queues():
            lane = self._dispatcher._lanes[queue.name]
            concurrent = lane.flying + (room if queue.name == wanted else 0)
            lane.configure(replace(queue, rate=RateLimits(_RATE, concurrent)), now)
            lane._bucket = TokenBucket(_RATE, int(_RATE), now)
        self._dispatcher.dispatch_due()

    async def _arrived(self) -> None:
        async with asyncio.timeout(10):
            while len(self.calls) < self._dispatcher.flying:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)


class PushedCarrier(CloudTasksBroker):
    """The carrier with the verbs of one that is pulled."""

    def __init__(self, hub: Hub, settings: BrokerSettings) -> None:
        push = Settings(
            guard=hub.guard_url,
            target="http://127.0.0.1:9/receiver",
            push_secret=_SECRET.decode(),
        )
        super().__init__(hub.url, replace(settings, options=push, timeout_ms=0), clock=hub.clock)
        self._hub = hub
        self._watched: Guard | None = None

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """Receive calls of the wanted queues, in their order."""
        await self._hub.break_off()
        taken: list[Delivery] = []
        tried: set[str] = set()
        for want in wants:
            room = min(want.limit, limit - len(taken))
            for queue_id in self._target.queue_ids(want.queue):
                queue = self._location.queue_path(queue_id)
                while room > 0 and (calls := await self._hub.arrivals(queue, room, tried)):
                    for call in calls:  # at once: no other claim may receive them too
                        call.lease, call.until_ms = _NOBODYS, self._clock.now_ms() + lease_ms
                    received = await asyncio.gather(
                        *(self._receive(call, worker, lease_ms) for call in calls)
                    )
                    found = [delivery for delivery in received if delivery is not None]
                    taken += found
                    room -= len(found)
        return Claimed(taken)

    async def _receive(self, call: Call, worker: WorkerId, lease_ms: int) -> Delivery | None:
        """Receive one call; None: it was answered at once."""
        now = self._clock.now_ms()
        received = await self.receive(call.request(), worker=worker, lease_ms=lease_ms)
        if isinstance(received, Delivery):
            call.lease = received.lease
            ended = _end_of(received, now)
            if ended is None:
                return received
            received = await self.answer(received, ended)
        assert isinstance(received, PushResponse)
        await self._hub.give(call, received)
        return None

    async def settle(self, items: Sequence[Settlement]) -> list[SettleResult]:
        """Answer the calls, in their order."""
        return [await self._settle(item.lease, item.outcome) for item in items]

    async def _settle(self, lease: Lease, outcome: Outcome) -> SettleResult:
        await self._watch()
        applied: list[bool] = []
        _applied.set(applied)
        call = next((call for call in self._hub.calls if call.lease == lease), None)
        response = await self.answer(Delivery(lease, "", "", b"", 0, 1, 0), outcome)
        if call is not None:
            await self._hub.give(call, response)
        return SettleResult(lease.job_id, applied[0])

    async def _watch(self) -> None:
        """Have the guard tell whether an outcome was applied: a sender is not told in so many words."""
        guard = await self._keeping.guard("tests")
        if guard is self._watched:
            return
        self._watched = guard
        settle = guard.settle

        async def watched(lease: Lease, outcome: Outcome) -> Settled:
            settled = await settle(lease, outcome)
            _applied.get().append(settled.applied)
            return settled

        guard.settle = watched  # type: ignore[method-assign]

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
        """Extend all leases of these workers, one by one."""
        beats: list[Heartbeat] = []
        for worker in workers:
            calls = [
                call for call in self._hub.calls if call.lease is not None and call.lease.worker == worker
            ]
            states = await self.extend([call.lease for call in calls if call.lease is not None], lease_ms)
            for call, state in zip(calls, states, strict=True):
                if state is not LeaseState.LOST:
                    call.until_ms = self._clock.now_ms() + lease_ms
            beats.append(Heartbeat(worker, any(state is not LeaseState.LOST for state in states)))
        return beats

    async def drain_worker(self, worker: WorkerId) -> bool:
        """Ask nobody: receivers are no workers."""
        del worker
        return False

    async def tend(self) -> Tended:
        """Break off the calls of dead receivers, and have the guard forget what is due to be forgotten."""
        await self._hub.break_off()
        guard = await self._keeping.guard("tests")
        before = self._kept()
        forgotten = await guard.desk.prune()
        pruned = before - self._kept()
        return Tended(pruned=pruned, next_in_ms=1000 if forgotten >= _PRUNED_AT_ONCE else None)

    def _kept(self) -> int:
        """Count the jobs in the guard's store, whether they are to be forgotten or not."""
        with closing(sqlite3.connect(self._hub.guard_file)) as db:
            [number] = db.execute(
                "SELECT count(*) FROM guard WHERE app = ? AND grp NOT LIKE ':%'",
                (self._settings.namespace,),
            ).fetchone()
        return int(number)

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        """There are no workers."""
        raise UnsupportedError(_NO_WORKERS)

    def signals(self, worker: WorkerId, *, handed: bool = False) -> AsyncIterator[Signal]:
        """There are no workers."""
        raise UnsupportedError(_NO_WORKERS)


def _end_of(delivery: Delivery, now_ms: int) -> Outcome | None:
    """Return how the executor ends a job before its handler is called; None: it runs."""
    if delivery.cancel_requested:
        return Cancelled()
    if delivery.expires_ms is not None and delivery.expires_ms <= now_ms:
        return Expired()
    return None


_NO_WORKERS: Final = "a carrier that pushes has no workers"
_NOBODYS: Final = Lease(JobId(""), WorkerId(""), 0)
