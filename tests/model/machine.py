"""Random stories, told to a carrier and to the model; after each step both must know the same."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from headway.brokers.base import QueueWant, Settlement
from headway.events import EventKind
from headway.job import (
    Cancelled,
    Expired,
    Failed,
    JobId,
    JobState,
    Lease,
    NewJob,
    Outcome,
    Past,
    Released,
    RetryAt,
    Succeeded,
    UniqueLock,
    UniqueMode,
    WorkerId,
)
from tests.conformance.listening import events_since, settled_cursor
from tests.conformance.scene import Scene
from tests.model.model import Model

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from headway.brokers.base import Carrier
    from headway.job import JobRecord
    from headway.testing import FakeClock
    from tests.conformance.store import Store

LEASE_MS = 10_500  # never a sum of steps of the clock: the very instant of its end is nobody's promise
QUEUES = ("a", "b")
WORKERS = tuple(WorkerId(name) for name in ("w0", "w1", "w2"))
T = TypeVar("T")

pick = st.integers(0, 30)
picks = st.lists(pick, min_size=1, max_size=4)
worker_ids = st.sampled_from(WORKERS)
locks = st.sampled_from(
    [UniqueLock(f"lock-{mode}", mode, 5_000 if mode is UniqueMode.THROTTLE else 0) for mode in UniqueMode]
)
specs = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from((5, 5, 0, 9)),
        "due": st.sampled_from((None, None, None, 0, 1_000, 5_000, 60_000)),
        "expires": st.sampled_from((None, None, None, 3_000, 20_000)),
        "key": st.sampled_from((None, None, None, None, "k0", "k1")),
        "unique": st.none() | locks,
    }
)
outcomes: st.SearchStrategy[Outcome | int] = st.sampled_from(
    (Succeeded(b"r"), Failed(b"h"), Cancelled("c"), Expired(), Released(), 0, 1_000, -5_000, 30_000)
)
"""An integer is a retry so many milliseconds from now; a negative one does not count."""


settlements = st.lists(st.tuples(pick, outcomes), min_size=1, max_size=4)


class Machine(RuleBasedStateMachine):
    """One story. Each has a namespace and an event loop of its own."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.model = Model(clock.now_ms())
        self.leases: list[Lease] = []
        self.made: list[NewJob] = []
        self.away: dict[JobId, JobRecord] = {}  # withdrawn jobs, as they were
        self.moves = 0
        self.sound = True
        self.runner = asyncio.Runner()
        self.carrier: Carrier = store.broker(namespace=f"m-{uuid.uuid4().hex[:12]}", record_events=True)
        self.scene = Scene(self.carrier, clock)
        self.cursor = ""

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def id_at(self, place: int) -> JobId:
        """Tell the id of a job made earlier, the youngest first: known, removed or never accepted."""
        return self.made[-1 - place % len(self.made)].id

    @initialize(batch=st.lists(specs, min_size=3, max_size=8))
    def open(self, batch: list[dict[str, Any]]) -> None:
        self.run(self.carrier.open())
        self.cursor = self.run(settled_cursor(self.scene))
        self.enqueue(batch)

    @rule(batch=st.lists(specs, min_size=1, max_size=4))
    def enqueue(self, batch: list[dict[str, Any]]) -> None:
        jobs: list[NewJob] = []
        expected: list[JobId | None] = []
        for job in (self.scene.job(**spec) for spec in batch):
            if not self.model.ambiguous(job):
                jobs.append(job)
                expected.append(self.model.enqueue(job))
        answers = self.run(self.carrier.enqueue(jobs))
        self.agree(
            [(answer.id, answer.duplicate_of) for answer in answers],
            list(zip([j.id for j in jobs], expected, strict=True)),
        )
        self.made += jobs

    @precondition(lambda self: self.made)
    @rule(places=picks)
    def repeat_enqueue(self, places: list[int]) -> None:
        jobs = [
            job
            for job in self.made
            if job.id in {self.id_at(place) for place in places} & self.model.jobs.keys()
        ]
        answers = self.run(self.carrier.enqueue(jobs))
        self.agree([(answer.id, answer.duplicate_of) for answer in answers], [(job.id, None) for job in jobs])

    @rule(worker=worker_ids, queues=st.permutations(QUEUES), each=st.integers(1, 3), limit=st.integers(1, 5))
    def claim(self, worker: WorkerId, queues: list[str], each: int, limit: int) -> None:
        wants = [QueueWant(queue, each) for queue in queues]
        claimed = self.run(self.carrier.claim(wants, worker=worker, limit=limit, lease_ms=LEASE_MS))
        taken = [delivery.lease for delivery in claimed.deliveries]
        self.sound = False
        self.model.claim(wants, worker, limit, LEASE_MS, taken)
        self.sound = True
        for delivery in claimed.deliveries:
            job = self.model.jobs[delivery.lease.job_id]
            self.agree((delivery.attempt, delivery.crashes), (job.attempt, job.crashes))
        self.leases += taken

    @rule(worker=worker_ids)
    def claim_all(self, worker: WorkerId) -> None:
        """Most stories are about jobs that run: let them be started often."""
        self.claim(worker, list(QUEUES), 5, 10)

    @precondition(lambda self: self.leases)
    @rule(workers=st.lists(worker_ids, min_size=1, max_size=3, unique=True))
    def heartbeat(self, workers: list[WorkerId]) -> None:
        answers = self.run(self.carrier.heartbeat(workers, LEASE_MS))
        self.agree(
            [answer.held for answer in answers],
            [self.model.heartbeat(worker, LEASE_MS) for worker in workers],
        )

    @rule(seconds=st.sampled_from((1, 1, 2, 5, 11, 61)))
    def advance(self, seconds: int) -> None:
        self.model.now = self.clock.advance(seconds * 1_000)

    @precondition(lambda self: self.held())
    @rule(items=settlements)
    def settle(self, items: list[tuple[int, Outcome | int]]) -> None:
        self.settle_some(self.held(), items)

    @precondition(lambda self: self.leases)
    @rule(items=settlements)
    def settle_late(self, items: list[tuple[int, Outcome | int]]) -> None:
        """Most of these leases are not held any more."""
        self.settle_some(self.leases, items)

    def held(self) -> list[Lease]:
        """Tell the leases that are held, by the model."""
        running = {(i, job.worker, job.epoch) for i, job in self.model.jobs.items() if job.worker is not None}
        return [lease for lease in self.leases if (lease.job_id, lease.worker, lease.epoch) in running]

    def settle_some(self, leases: list[Lease], items: list[tuple[int, Outcome | int]]) -> None:
        batch = [
            Settlement(leases[-1 - place % len(leases)], self.outcome(outcome)) for place, outcome in items
        ]
        answers = self.run(self.carrier.settle(batch))
        self.agree([answer.applied for answer in answers], self.model.settle(batch))

    def outcome(self, drawn: Outcome | int) -> Outcome:
        return (
            drawn
            if not isinstance(drawn, int)
            else RetryAt(self.model.now + abs(drawn), b"h", counted=drawn >= 0)
        )

    @precondition(lambda self: self.held())
    @rule(place=pick, started=st.sampled_from(("all", "none", "some")))
    def crash(self, place: int, started: str) -> None:
        held = self.held()
        worker = held[place % len(held)].worker
        own = [lease.job_id for lease in held if lease.worker == worker]
        ids = {"all": None, "none": [], "some": own[::2]}[started]
        self.agree(self.run(self.carrier.surrender(worker, started=ids)), self.model.surrender(worker, ids))

    @rule()
    def tend(self) -> None:
        tended = self.run(self.carrier.tend())
        self.agree((tended.expired, tended.reclaimed), self.model.tend())

    @precondition(lambda self: self.made)
    @rule(places=picks)
    def cancel(self, places: list[int]) -> None:
        ids = list(dict.fromkeys(self.id_at(place) for place in places))
        answers = self.run(self.carrier.cancel(ids, reason="by hand"))
        self.agree([answer.state for answer in answers], [self.model.cancel(job_id) for job_id in ids])

    @precondition(lambda self: self.made)
    @rule(places=picks)
    def withdraw(self, places: list[int]) -> None:
        ids = list(dict.fromkeys(self.id_at(place) for place in places))
        before = dict(zip(ids, self.run(self.carrier.get(ids)), strict=True))
        uniques = {job_id: self.model.unique(job_id) for job_id in ids if job_id in self.model.jobs}
        mover = self.carrier.capabilities.mover
        assert mover is not None
        self.moves += 1
        reason = f"move {self.moves}"  # the same reason twice is the same move
        answers = self.run(mover.withdraw(ids, reason))
        self.agree([record is not None for record in answers], [self.model.withdraw(i) for i in ids])
        for record in answers:
            if record is not None:
                self.agree(record, before[record.id])
                self.agree(record.unique, uniques[record.id], about=record.id)
                self.away[record.id] = record
        self.agree(self.run(mover.withdraw(ids, reason)), answers)

    @precondition(lambda self: self.away)
    @rule(place=pick, later=st.booleans())
    def come_back(self, place: int, later: bool) -> None:
        """From where it went, or by a mover that is late: then under no higher epoch."""
        record = list(self.away.values())[place % len(self.away)]
        job = record.as_new()
        if not later:
            job = replace(job, past=Past(epoch=record.epoch))
        if self.model.ambiguous(job):
            return
        expected = self.model.enqueue(job)
        [answer] = self.run(self.carrier.enqueue([job]))
        self.agree(answer.duplicate_of, expected)

    @precondition(lambda self: self.held())
    @rule(place=pick)
    def cancel_running(self, place: int) -> None:
        held = self.held()
        job_id = held[place % len(held)].job_id
        [answer] = self.run(self.carrier.cancel([job_id], reason="by hand"))
        self.agree(answer.state, self.model.cancel(job_id))

    @precondition(lambda self: self.made)
    @rule(places=picks, act=st.sampled_from(("retry", "retry", "promote", "remove")))
    def act_by_hand(self, places: list[int], act: str) -> None:
        ids = list(dict.fromkeys(self.id_at(place) for place in places))
        answers = self.run(getattr(self.carrier, act)(ids))
        self.agree(answers, [getattr(self.model, act)(job_id) for job_id in ids])

    @rule(queue=st.sampled_from(QUEUES), paused=st.sampled_from((False, False, True)))
    def pause_or_resume(self, queue: str, paused: bool) -> None:
        self.run(self.carrier.pause(queue) if paused else self.carrier.resume(queue))
        (self.model.paused.add if paused else self.model.paused.discard)(queue)
        self.agree(self.run(self.carrier.paused()), self.model.paused)

    @invariant()
    def no_job_is_lost_and_all_are_as_the_model_says(self) -> None:
        if not self.made:
            return
        ids = [job.id for job in self.made]
        found = {record.id: record for record in self.run(self.carrier.get(ids)) if record is not None}
        self.agree(found.keys(), self.model.jobs.keys())
        for job_id, job in self.model.jobs.items():
            record = found[job_id]
            self.agree((record.state, record.epoch), (job.state, job.epoch), about=job_id)
            self.agree(record.withdrawn, job.withdrawn, about=job_id)
            if not job.state.terminal:
                self.agree(record.unique, self.model.unique(job_id), about=job_id)
            self.agree(record.worker if job.state is JobState.RUNNING else None, job.worker, about=job_id)
            if job.state not in {JobState.CANCELLED, JobState.EXPIRED}:
                self.agree((record.attempt, record.crashes), (job.attempt, job.crashes), about=job_id)

    @invariant()
    def the_counts_are_equal(self) -> None:
        if not self.made:
            return
        counted = {
            row.queue: {s: n for s, n in row.counts.items() if n}
            for row in self.run(self.carrier.counts(QUEUES))
        }
        for queue in QUEUES:
            states = [job.state for job in self.model.jobs.values() if job.new.queue == queue]
            self.agree(
                counted.get(queue, {}), {state: states.count(state) for state in set(states)}, about=queue
            )

    def agree(self, carrier: object, model: object, *, about: str = "") -> None:
        if carrier != model:
            self.sound = False
        assert carrier == model, about

    def teardown(self) -> None:
        try:
            if self.sound and self.cursor:
                self.compare_events()
        finally:
            self.run(self.carrier.close())
            self.runner.close()

    def compare_events(self) -> None:
        """Each job has the transitions of the model and no others: so it has one terminal event a life."""
        told: dict[JobId, list[EventKind]] = {}
        for event in self.run(events_since(self.scene, self.cursor)):
            if event.kind is not EventKind.SUPERSEDED:
                told.setdefault(event.job_id, []).append(event.kind)
        back = {EventKind.RELEASED: EventKind.RECLAIMED}  # the carrier chooses the word for a surrendered job
        assert {job_id: [back.get(kind, kind) for kind in kinds] for job_id, kinds in told.items()} == {
            job_id: [back.get(kind, kind) for kind in kinds] for job_id, kinds in self.model.events.items()
        }
