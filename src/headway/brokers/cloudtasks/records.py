"""The record of a job that no receiver has had yet: read from its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from headway.brokers.cloudtasks.api.resources import RemoteTask
from headway.guards.document import PushedJob
from headway.job import JobRecord, JobState

if TYPE_CHECKING:
    from headway.job import JobId


class WaitingJob(Struct, frozen=True):
    """A task of the app, and the job in it."""

    task: RemoteTask
    pushed: PushedJob

    @property
    def id(self) -> JobId:
        """The job's id."""
        return self.pushed.job.id

    def state(self, now_ms: int) -> JobState:
        """Return the state as people see it, as long as the guard knows nothing of the job."""
        return waiting_state(self.task, self.pushed.job.expires_ms, now_ms)

    def record(self, now_ms: int) -> JobRecord:
        """Return the record of a job that the guard knows nothing of."""
        job = self.pushed.job
        state = self.state(now_ms)
        return JobRecord(
            id=job.id,
            task=job.task,
            queue=job.queue,
            state=state,
            priority=job.priority,
            payload=job.payload,
            due_ms=job.due_ms,
            expires_ms=job.expires_ms,
            finished_ms=job.expires_ms if state is JobState.EXPIRED else None,
            key=job.key,
        )


def waiting_state(task: RemoteTask, expires_ms: int | None, now_ms: int) -> JobState:
    """Return the state of a job that the guard knows nothing of. Its delivery finds an overdue one expired."""
    if expires_ms is not None and expires_ms <= now_ms:
        return JobState.EXPIRED
    # One that was sent before, by hand or to a receiver that did not take it, waits for nothing but the next dispatch.
    return JobState.SCHEDULED if task.due_ms > now_ms and not task.dispatches else JobState.READY
