"""What a carrier should do, in memory and as plainly as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

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
    WorkerId,
)
from tests.model.book import Book, Job
from tests.model.lines import WAITING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headway.brokers.base import QueueWant, Settlement

S = JobState


class Model(Book):
    """One carrier. Each verb answers as the carrier should, and changes the jobs as it should."""

    def enqueue(self, new: NewJob) -> JobId | None:
        """Accept a job, or tell whose duplicate it is."""
        if new.id in self.jobs:
            there = self.jobs[new.id]
            if new.past is None or not there.withdrawn or new.past.epoch <= there.epoch:
                return None
            self._come_back(new.id)
        if new.key is not None and new.key in self.keys:
            return self.keys[new.key]
        while (overdue := self._overdue_holder(new)) is not None:
            self.complete(overdue, S.EXPIRED)  # whoever it held back is the holder then
        verdict = self.locks.judge(new, self.now, self.state)
        if verdict.duplicate_of is not None:
            return verdict.duplicate_of
        if verdict.replaces is not None:
            self.complete(verdict.replaces, S.CANCELLED)
        self.locks.take(new, self.now, hold=verdict.hold)
        if new.key is not None:
            self.keys[new.key] = new.id
        past = new.past or Past()
        due = None if verdict.hold else new.due_ms
        job = Job(new, S.SCHEDULED, due, new.expires_ms, past.attempt, past.epoch, past.crashes)
        self.jobs[new.id] = job
        self.tell(new.id, EventKind.ENQUEUED)
        if not verdict.hold and (new.due_ms is None or new.due_ms <= self.now):
            self.make_ready([new.id])
        return None

    def _come_back(self, job_id: JobId) -> None:
        """Forget a withdrawn job with all that it held: nothing of it is in its own way, nor the window of its throttle."""
        lock = self.unique(job_id)
        self.remove(job_id)
        if lock is not None:
            self.locks.holders.pop(lock.key, None)

    def _overdue_holder(self, new: NewJob) -> JobId | None:
        """Return the holder of the job's unique key if it should have expired, which nobody has noticed yet."""
        if new.unique is None:
            return None
        job_id, _ = self.locks.holders.get(new.unique.key, (JobId(""), 0))
        holder = self.jobs.get(job_id)
        if holder is None or holder.state not in WAITING or holder.expires_ms is None:
            return None
        return job_id if holder.expires_ms <= self.now else None

    def ambiguous(self, new: NewJob) -> bool:
        """Tell whether the rules leave open what this job does.

        It replaces a returned holder while another is held.
        """
        if new.unique is None:
            return False
        verdict = self.locks.judge(new, self.now, self.state)
        return new.unique.key in self.locks.held and not verdict.hold

    def claim(
        self, wants: Sequence[QueueWant], worker: WorkerId, limit: int, lease_ms: int, taken: Sequence[Lease]
    ) -> None:
        """Check that the carrier handed out what it had to, and take it."""
        self.tend()
        left = list(taken)
        for want in wants:
            room = 0 if want.queue in self.paused else min(want.limit, limit)
            while room and (front := self.lines.front(want.queue)):
                assert left, f"a job of {front} should have been handed out"
                lease = left.pop(0)
                assert lease.job_id in front, f"{lease.job_id} was handed out, {front} come first"
                self.start(lease.job_id, worker)
                assert lease == Lease(lease.job_id, worker, self.jobs[lease.job_id].epoch)
                room, limit = room - 1, limit - 1
        assert not left, f"{left} should not have been handed out"
        if taken:
            self.leases[worker] = self.now + lease_ms

    def heartbeat(self, worker: WorkerId, lease_ms: int) -> bool:
        held = self.leases.get(worker, 0) > self.now
        if held:
            self.leases[worker] = self.now + lease_ms
        return held

    def settle(self, items: Sequence[Settlement]) -> list[bool]:
        released: list[JobId] = []
        applied = [self._settle_one(item.lease, item.outcome, released) for item in items]
        self.make_ready([job_id for job_id in released if self.state(job_id) is S.READY], head=True)
        return applied

    def _settle_one(self, lease: Lease, outcome: Outcome, released: list[JobId]) -> bool:
        job = self.jobs.get(lease.job_id)
        if job is None or job.state is not S.RUNNING:
            return False
        if (job.worker, job.epoch) != (lease.worker, lease.epoch):
            return False
        match outcome:
            case Succeeded() | Failed() | Cancelled() | Expired():
                self.complete(lease.job_id, JobState[type(outcome).__name__.upper()])
            case RetryAt() | Released() if job.cancel_requested:
                self.complete(lease.job_id, S.CANCELLED)
            case RetryAt(at_ms, _, counted):
                job.attempt -= not counted
                job.state, job.worker, job.due_ms = S.SCHEDULED, None, at_ms
                self.tell(lease.job_id, EventKind.RETRY)
                if at_ms <= self.now:
                    self.make_ready([lease.job_id])
            case Released():
                job.state, job.worker, job.attempt = S.READY, None, job.attempt - 1
                self.tell(lease.job_id, EventKind.RELEASED)
                released.append(lease.job_id)
            case _ as never:
                assert_never(never)
        if all(other.worker != lease.worker for other in self.jobs.values()):
            self.leases.pop(lease.worker, None)
        return True

    def surrender(self, worker: WorkerId, started: Collection[JobId] | None) -> int:
        held = [job_id for job_id, job in self.jobs.items() if job.worker == worker]
        self.give_back(held, held if started is None else started)
        self.leases.pop(worker, None)
        return len(held)

    def tend(self) -> tuple[int, int]:
        """Take back, promote, expire; tell how many were expired and taken back."""
        dead = {worker for worker, until in self.leases.items() if until < self.now}
        lost = [job_id for job_id, job in self.jobs.items() if job.worker in dead]
        self.give_back(lost, lost)
        for worker in dead:
            del self.leases[worker]
        due = {
            job.due_ms for job in self.jobs.values() if job.state is S.SCHEDULED and job.due_ms is not None
        }
        for instant in sorted(instant for instant in due if instant <= self.now):
            self.make_ready(
                [i for i, job in self.jobs.items() if job.state is S.SCHEDULED and job.due_ms == instant]
            )
        overdue = [
            i
            for i, job in self.jobs.items()
            if job.state in WAITING and (job.expires_ms or self.now + 1) <= self.now
        ]
        for job_id in overdue:
            self.complete(job_id, S.EXPIRED)
        return len(overdue), len(lost)

    def cancel(self, job_id: JobId) -> JobState | None:
        job = self.jobs.get(job_id)
        if job is None:
            return None
        if job.state in WAITING:
            self.complete(job_id, S.CANCELLED)
        job.cancel_requested = job.cancel_requested or job.state is S.RUNNING
        return job.state

    def unique(self, job_id: JobId) -> UniqueLock | None:
        """Tell the unique key that a job holds, or for which it waits."""
        job = self.jobs[job_id]
        lock = None if job.freed else job.new.unique
        if lock is None or self.locks.owner(lock.key, job_id) is None:
            return None
        return lock

    def withdraw(self, job_id: JobId) -> bool:
        """Take a waiting job away. It holds its key, and a unique key with which it refuses others, until it is removed."""
        job = self.jobs.get(job_id)
        if job is None or job.state not in WAITING or (job.expires_ms or self.now + 1) <= self.now:
            return False
        lock = self.unique(job_id)
        if lock is not None:
            if lock.key in self.locks.held:
                return False
            if not lock.mode.refuses:
                del self.locks.holders[lock.key]
        self.lines.drop(job.new)
        job.state, job.withdrawn = S.CANCELLED, True
        self.tell(job_id, EventKind.CANCELLED)
        return True

    def retry(self, job_id: JobId) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.withdrawn or job.state not in {S.FAILED, S.CANCELLED, S.EXPIRED}:
            return False
        job.attempt, job.crashes, job.cancel_requested, job.due_ms = 0, 0, False, None
        # An expiry that has passed belonged to the former life.
        job.expires_ms = None if job.expires_ms is None or job.expires_ms <= self.now else job.expires_ms
        self.tell(job_id, EventKind.RETRIED)
        self.make_ready([job_id])
        return True

    def promote(self, job_id: JobId) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.state is not S.SCHEDULED:
            return False
        self.locks.let_go(job.new)
        self.make_ready([job_id])
        return True

    def remove(self, job_id: JobId) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.state is S.RUNNING:
            return False
        self.lines.drop(job.new)
        self.inherit(job)
        if job.new.key is not None:
            del self.keys[job.new.key]
        del self.jobs[job_id]
        self.tell(job_id, EventKind.REMOVED)
        return True
