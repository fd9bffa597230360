"""The jobs of the model, and their transitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headway.events import EventKind
from headway.job import JobId, JobState, NewJob, WorkerId
from tests.model.lines import Lines, Locks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

S = JobState


@dataclass(slots=True)
class Job:
    new: NewJob
    state: JobState
    due_ms: int | None
    expires_ms: int | None
    attempt: int = 0
    epoch: int = 0
    crashes: int = 0
    worker: WorkerId | None = None
    cancel_requested: bool = False
    withdrawn: bool = False
    freed: bool = False  # it gave up its unique key for good: another life of it has none


@dataclass(slots=True)
class Book:
    """All jobs, and the transitions that the verbs of the model are made of."""

    now: int
    jobs: dict[JobId, Job] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    locks: Locks = field(default_factory=Locks)
    leases: dict[WorkerId, int] = field(default_factory=dict)
    keys: dict[str, JobId] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    events: dict[JobId, list[EventKind]] = field(default_factory=dict)

    def state(self, job_id: JobId) -> JobState | None:
        return self.jobs[job_id].state if job_id in self.jobs else None

    def start(self, job_id: JobId, worker: WorkerId) -> None:
        job = self.jobs[job_id]
        self.lines.drop(job.new)
        job.state, job.worker, job.attempt, job.epoch = S.RUNNING, worker, job.attempt + 1, job.epoch + 1
        self.tell(job_id, EventKind.STARTED)

    def complete(self, job_id: JobId, state: JobState) -> None:
        job = self.jobs[job_id]
        self.lines.drop(job.new)
        job.state, job.worker = state, None
        self.tell(job_id, EventKind(state.value))
        self.inherit(job)
        job.freed = True

    def inherit(self, job: Job) -> None:
        heir = self.locks.release(job.new, self.now)
        if heir is not None:
            self.jobs[heir].due_ms = due = self.jobs[heir].new.due_ms
            if due is None or due <= self.now:
                self.make_ready([heir])

    def give_back(self, ids: Iterable[JobId], started: Collection[JobId]) -> None:
        back: list[JobId] = []
        for job_id in ids:
            job = self.jobs[job_id]
            if job.cancel_requested:
                self.complete(job_id, S.CANCELLED)
                continue
            job.attempt, job.crashes = (
                (job.attempt, job.crashes + 1) if job_id in started else (job.attempt - 1, job.crashes)
            )
            self.tell(job_id, EventKind.RECLAIMED)
            back.append(job_id)
        self.make_ready(back, head=True)

    def make_ready(self, ids: list[JobId], *, head: bool = False) -> None:
        for job in (self.jobs[job_id] for job_id in ids):
            job.state, job.worker, job.due_ms = S.READY, None, None
        self.lines.add((self.jobs[job_id].new for job_id in ids), head=head)

    def tell(self, job_id: JobId, kind: EventKind) -> None:
        self.events.setdefault(job_id, []).append(kind)
