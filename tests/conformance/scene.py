"""The verbs in which the suite tells its stories: enqueue, take, settle, look."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headway.brokers.base import QueueWant, Settlement
from headway.job import (
    Cancelled,
    Delivery,
    Expired,
    Failed,
    Fire,
    JobId,
    JobRecord,
    JobState,
    Lease,
    NewJob,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    UniqueLock,
    WorkerId,
    is_job_id,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import Carrier, Enqueued
    from headway.testing import FakeClock

LEASE_MS: Final = 30_000
SECOND: Final = 1_000
MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR

WAITING: Final = (JobState.SCHEDULED, JobState.READY)
TERMINAL: Final = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)
RETRYABLE: Final = (JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)

OUTCOMES: Final[tuple[Outcome, ...]] = (
    Succeeded(b"late"),
    RetryAt(0, b"late"),
    Failed(b"late"),
    Cancelled("late"),
    Expired(),
    Released(),
)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_numbers = itertools.count(1)


def job_id_at(instant_ms: int) -> JobId:
    """Make an id as new_job_id does, but of an instant of the test's clock; no two differ in their ends alone."""
    value = instant_ms << 52 | next(_numbers) << 5
    made = "".join(_ALPHABET[value >> shift & 31] for shift in range(95, -1, -5))
    assert is_job_id(made)
    return JobId(made)


@dataclass(frozen=True, slots=True)
class Scene:
    """One carrier with its clock."""

    carrier: Carrier
    clock: FakeClock

    @property
    def now(self) -> int:
        """The present instant of the test's clock."""
        return self.clock.now_ms()

    def job(
        self,
        *,
        queue: str = "q",
        task: str = "shop.tasks.pay",
        payload: bytes = b"payload",
        priority: int = 5,
        due: int | None = None,
        expires: int | None = None,
        key: str | None = None,
        unique: UniqueLock | None = None,
        fire: Fire | None = None,
    ) -> NewJob:
        """Describe a job; `due` and `expires` are milliseconds from now."""
        return NewJob(
            id=job_id_at(self.now),
            task=task,
            queue=queue,
            payload=payload,
            priority=priority,
            due_ms=None if due is None else self.now + due,
            expires_ms=None if expires is None else self.now + expires,
            key=key,
            unique=unique,
            fire=fire,
        )

    def ordered(self, ids: Sequence[JobId]) -> list[JobId]:
        """Return the ids for a comparison: in their order where the carrier keeps one, else in any."""
        return list(ids) if self.carrier.capabilities.fifo else sorted(ids)

    async def offer(self, job: NewJob) -> Enqueued:
        """Enqueue one job, whatever the answer."""
        [answer] = await self.carrier.enqueue([job])
        return answer

    async def put(self, job: NewJob | None = None) -> JobId:
        """Enqueue one job that must be accepted."""
        job = job or self.job()
        answer = await self.offer(job)
        assert answer.id == job.id
        assert answer.duplicate_of is None
        return job.id

    def many(self, count: int, *, least: int = 100) -> int:
        """Tell how many jobs a case takes which needs more of them than a carrier handles in one step.

        A carrier that accepts each job by itself has no such step, or a small one: a tenth shows the same there, but no
        fewer than `least`.
        """
        return count if self.carrier.capabilities.atomic else max(count // 10, least)

    async def put_many(self, count: int, *, queue: str = "q", priority: int = 5) -> list[JobId]:
        """Enqueue so many plain jobs in one call."""
        jobs = [self.job(queue=queue, priority=priority) for _ in range(count)]
        answers = await self.carrier.enqueue(jobs)
        assert [answer.id for answer in answers] == [job.id for job in jobs]
        return [job.id for job in jobs]

    async def take(
        self, limit: int = 100, *, queue: str = "q", worker: str = "w", lease_ms: int = LEASE_MS
    ) -> list[Delivery]:
        """Claim from one queue."""
        claimed = await self.carrier.claim(
            [QueueWant(queue, limit)], worker=WorkerId(worker), limit=limit, lease_ms=lease_ms
        )
        return claimed.deliveries

    async def take_ids(self, limit: int = 100, *, queue: str = "q", worker: str = "w") -> list[JobId]:
        """Claim from one queue and tell the ids."""
        return [delivery.lease.job_id for delivery in await self.take(limit, queue=queue, worker=worker)]

    async def take_one(self, *, queue: str = "q", worker: str = "w", lease_ms: int = LEASE_MS) -> Delivery:
        """Claim one job that must be there."""
        [delivery] = await self.take(1, queue=queue, worker=worker, lease_ms=lease_ms)
        return delivery

    async def start(
        self, job: NewJob | None = None, *, worker: str = "w", lease_ms: int = LEASE_MS
    ) -> Delivery:
        """Enqueue a job into an empty queue and claim it."""
        job = job or self.job()
        await self.put(job)
        delivery = await self.take_one(queue=job.queue, worker=worker, lease_ms=lease_ms)
        assert delivery.lease.job_id == job.id
        return delivery

    async def settle(self, delivery: Delivery | Lease, outcome: Outcome) -> bool:
        """Settle one delivery; tell whether it was applied."""
        lease = delivery.lease if isinstance(delivery, Delivery) else delivery
        [answer] = await self.carrier.settle([Settlement(lease, outcome)])
        assert answer.job_id == lease.job_id
        return answer.applied

    async def finish(self, delivery: Delivery, outcome: Outcome | None = None) -> JobId:
        """Settle a delivery whose lease is held; succeeded unless another outcome is given."""
        assert await self.settle(delivery, outcome or Succeeded())
        return delivery.lease.job_id

    async def reach(self, state: JobState, job: NewJob | None = None) -> JobId:
        """Bring a new job into a state by the shortest way."""
        job = job or self.job()
        match state:
            case JobState.SCHEDULED:
                await self.put(_with(job, due_ms=self.now + HOUR))
            case JobState.READY:
                await self.put(job)
            case JobState.RUNNING:
                await self.start(job)
            case JobState.SUCCEEDED:
                await self.finish(await self.start(job), Succeeded(b"result"))
            case JobState.FAILED:
                await self.finish(await self.start(job), Failed(b"history"))
            case JobState.CANCELLED:
                await self.put(job)
                await self.carrier.cancel([job.id])
            case JobState.EXPIRED:
                await self.put(_with(job, expires_ms=self.now + 1))
                self.clock.advance(1)
                await self.carrier.tend()
        assert await self.state(job.id) is state
        return job.id

    async def record(self, job_id: JobId) -> JobRecord:
        """Look a job up that must be known."""
        [record] = await self.carrier.get([job_id])
        assert record is not None
        assert record.id == job_id
        return record

    async def state(self, job_id: JobId) -> JobState | None:
        """Tell a job's state; None: unknown."""
        [state] = await self.states([job_id])
        return state

    async def states(self, ids: Sequence[JobId]) -> list[JobState | None]:
        """Tell the states of jobs; None: unknown."""
        return [record.state if record else None for record in await self.carrier.get(ids)]

    async def count(self, state: JobState, queue: str = "q") -> int:
        """Count the jobs of a queue in a state."""
        return sum(row.counts.get(state, 0) for row in await self.carrier.counts([queue]))


def _with(job: NewJob, *, due_ms: int | None = None, expires_ms: int | None = None) -> NewJob:
    return NewJob(
        id=job.id,
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        priority=job.priority,
        due_ms=due_ms if due_ms is not None else job.due_ms,
        expires_ms=expires_ms if expires_ms is not None else job.expires_ms,
        key=job.key,
        unique=job.unique,
        fire=job.fire,
    )
