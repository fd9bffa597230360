"""Sends each task when it is due and its queue lets it go, and decides by the answer what becomes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from headway.emulator.answers import DEADLINE, UNREACHABLE, Verdict, begun_state, failed_state, verdict_of
from headway.emulator.credentials import Credentials
from headway.emulator.driven import AGAIN_MS, Driven
from headway.emulator.faults import Copy, Dice, Faults
from headway.emulator.flights import Flight, Flights
from headway.emulator.lanes import Lane
from headway.emulator.model import Limits, Task
from headway.emulator.names import queue_of
from headway.emulator.retry import backoff_ms, gives_up, policy_of, retry_after_ms
from headway.emulator.target import HttpAnswer, HttpCall, call_for, overridden

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.emulator.model import Queue
    from headway.emulator.store import Store

_log: Final = logging.getLogger("headway.emulator")

_RETIRED_AT_ONCE: Final = 1000

Deliver: TypeAlias = Callable[[HttpCall], Awaitable[HttpAnswer | None]]
"""Sends a request and returns the answer; None when there was none, because the connection failed.

It may keep the time of the call itself, and raise TimeoutError when that is over.
"""


class Dispatcher(Driven):
    """Drives the tasks of a store by its clock: by hand with `turn`, or in the background with `run`."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        deliver: Deliver,
        *,
        limits: Limits | None = None,
        credentials: Credentials | None = None,
        dice: Dice | None = None,
        throttle: bool = True,
    ) -> None:
        """`load` takes over the store's tasks. `throttle`: slow a queue down when its target answers 429 or 503."""
        super().__init__(clock, "emulator: Cloud Tasks")
        self._store = store
        self._deliver = deliver
        self._limits = limits or Limits()
        self._credentials = credentials or Credentials()
        self._dice = dice or Dice(Faults())
        self._throttle = throttle
        self._lanes: dict[str, Lane] = {}
        self._flights = Flights()
        self._delayed: set[str] = set()

    # What the service tells.

    def load(self) -> None:
        """Let everything wait that the store holds; what was under way when an emulator died is due again."""
        for queue in self._store.queues():
            self.queue_changed(queue)
            for task in self._store.tasks(queue.name).values():
                self.added(task)

    def queue_changed(self, queue: Queue) -> None:
        """Follow a queue that was made or changed."""
        now = self._clock.now_ms()
        lane = self._lanes.get(queue.name)
        if lane is None:
            self._lanes[queue.name] = Lane(queue, now, throttle=self._throttle)
        else:
            lane.configure(queue, now)
        self._wake.set()

    def queue_removed(self, name: str) -> None:
        """Forget a queue."""
        self._lanes.pop(name, None)

    def queue_purged(self, name: str) -> None:
        """Forget the waiting tasks of a queue."""
        self._delayed = {task for task in self._delayed if queue_of(task) != name}
        self._lanes[name].clear()

    def added(self, task: Task) -> None:
        """Let a task wait for its time."""
        self._lanes[queue_of(task.name)].schedule(task.name, task.state.due_ms)
        self._wake.set()

    def removed(self, task: Task) -> None:
        """Forget a task that was deleted; if it is under way its answer will change nothing."""
        self._delayed.discard(task.name)
        self._lanes[queue_of(task.name)].forget(task.name)

    def run_now(self, task: Task) -> Task:
        """Dispatch whatever the schedule, the limits and the queue's state say, also beside a dispatch under way."""
        lane = self._lanes[queue_of(task.name)]
        lane.forget(task.name)
        return self._begin(lane, task, self._clock.now_ms())

    # What drives the tasks.

    @property
    def flying(self) -> int:
        """How many deliveries are under way."""
        return len(self._flights)

    def dispatch_due(self) -> int:
        """Begin all that may go now, end what is past its deadline; return how many dispatches were begun."""
        now = self._clock.now_ms()
        self._expire(now)
        if self._stopped:
            return 0
        self._retire(now)
        return sum(self._drain(lane, now) for lane in list(self._lanes.values()))

    def next_ms(self) -> int | None:
        """Return the instant at which there is something to do next; None when nothing is planned."""
        now = self._clock.now_ms()
        found = [self._flights.next_ms()]
        if not self._stopped:
            found += [lane.next_ms(now) for lane in self._lanes.values()]
            found += [self._end_ms(queue.name) for queue in self._store.queues()]
        return min((at for at in found if at is not None), default=None)

    @property
    def _stopped(self) -> bool:
        # What cannot be written down may not be begun.
        return self._store.journal.failure is not None

    def _jobs(self) -> set[asyncio.Task[None]]:
        return self._flights.jobs()

    def _forget_jobs(self) -> None:
        self._flights.clear()

    # One task.

    def _end_ms(self, queue: str) -> int | None:
        """Return when the queue's oldest task has been kept for as long as the service keeps one."""
        oldest = self._store.oldest(queue)
        return None if oldest is None else oldest.spec.created_ms + self._limits.retention_ms

    def _retire(self, now_ms: int) -> None:
        """Delete the tasks that have been kept long enough, wherever they stand; so many a turn."""
        for queue in self._store.queues():
            for _ in range(_RETIRED_AT_ONCE):
                oldest, end_ms = self._store.oldest(queue.name), self._end_ms(queue.name)
                if oldest is None or end_ms is None or end_ms > now_ms:
                    break
                _log.info("task %s: deleted, as it is too old", oldest.name)
                self.removed(oldest)
                self._store.drop_task(oldest)

    def _drain(self, lane: Lane, now_ms: int) -> int:
        begun = 0
        while (name := lane.due(now_ms)) is not None:
            task = self._store.task(name)
            if task is None:
                lane.forget(name)
                continue
            if name not in self._delayed and (late := self._dice.delay_ms()):
                self._delayed.add(name)
                lane.schedule(name, now_ms + late)
                continue
            if not lane.take(name, now_ms):
                break
            before = begun
            with self._remarks.passing_over(f"task {name}", "passed over for a minute"):
                self._begin(lane, task, now_ms)
                begun += 1
            if begun == before:
                lane.schedule(name, now_ms + AGAIN_MS)
        return begun

    def _begin(self, lane: Lane, task: Task, now_ms: int) -> Task:
        self._delayed.discard(task.name)
        begun = self._store.set_state(task, begun_state(task.state, now_ms))
        copy = self._dice.copy()
        self._launch(Flight(task, lane, copy=False), now_ms, again=copy is Copy.AFTER)
        lane.flying += 1
        if copy is Copy.BESIDE:
            self._launch(Flight(task, lane, copy=True), now_ms)
        return begun

    def _launch(self, flight: Flight, now_ms: int, *, again: bool = False) -> None:
        self._flights.add(flight, now_ms + flight.task.spec.deadline_ms)
        flight.job = asyncio.get_running_loop().create_task(self._fly(flight, again=again))

    async def _fly(self, flight: Flight, *, again: bool) -> None:
        verdict = await self._attempt(flight.task)
        if not self._flights.end(flight):
            return  # its deadline passed while the answer was on its way
        self._land(flight, verdict)
        if again:
            self._launch(Flight(flight.task, flight.lane, copy=True), self._clock.now_ms())

    async def _attempt(self, task: Task) -> Verdict:
        if self._dice.target_refused():
            return verdict_of(HttpAnswer(503))
        try:
            answer = await self._deliver(self._call(task))
        except TimeoutError:
            return DEADLINE  # as `_expire` would say, which is on its way with the same deadline
        except Exception:  # noqa: BLE001 - whatever befell the transport, the task is tried again
            _log.exception("task %s: the transport failed", task.name)
            return UNREACHABLE
        if answer is None or self._dice.target_lost():
            return UNREACHABLE
        return verdict_of(answer)

    def _call(self, task: Task) -> HttpCall:
        queue = self._store.queue(queue_of(task.name))
        return call_for(
            task,
            overridden(task.spec.request, None if queue is None else queue.target),
            retries=task.state.dispatches,
            now_ms=self._clock.now_ms(),
            credentials=self._credentials,
        )

    def _expire(self, now_ms: int) -> None:
        for flight in self._flights.overdue(now_ms):
            if flight.job is not None:
                flight.job.cancel()
            self._land(flight, DEADLINE)

    def _land(self, flight: Flight, verdict: Verdict) -> None:
        """Take an attempt's end into account, unless the task has ended meanwhile in another way."""
        now = self._clock.now_ms()
        lane = flight.lane
        if not flight.copy:
            lane.flying -= 1
            lane.note(overloaded=verdict.overloaded, now_ms=now)
        self._wake.set()
        task = self._store.task(flight.task.name)
        if task is None or task.spec is not flight.task.spec:
            return
        accounted = False
        with self._remarks.passing_over(f"the answer to task {task.name}", "it is sent again in a minute"):
            self._account(lane, task, flight, verdict, now)
            accounted = True
        if not (accounted or flight.copy):
            lane.schedule(task.name, now + AGAIN_MS)

    def _account(self, lane: Lane, task: Task, flight: Flight, verdict: Verdict, now: int) -> None:
        if verdict.success:
            lane.forget(task.name)
            self._store.drop_task(task)
        elif not flight.copy:
            self._failed(lane, task, verdict, now)

    def _failed(self, lane: Lane, task: Task, verdict: Verdict, now_ms: int) -> None:
        state = task.state
        queue = self._store.queue(queue_of(task.name))
        if queue is None:
            return
        config = policy_of(queue, task)
        pause = max(
            backoff_ms(config, state.dispatches),
            retry_after_ms(verdict.retry_after, now_ms, self._limits.horizon_ms),
        )
        # A task is not kept for longer, and no calendar has the instant of the longest back-off that may be asked for.
        pause = min(pause, self._limits.retention_ms)
        task = self._store.set_state(task, failed_state(state, verdict, now_ms, now_ms + pause))
        if gives_up(config, task, now_ms, self._limits):
            lane.forget(task.name)
            self._store.drop_task(task)
        else:
            lane.schedule(task.name, task.state.due_ms)
