"""What the records of an app say of its jobs. Instants are milliseconds since 1970 UTC."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from headway.job import JobId, id_instant_ms

REMOVED = "removed"
"""The state in the records of a job that was removed from its carrier before it had ended."""


class RecordedJob(Struct, frozen=True, kw_only=True):
    """A job as it is known to the records, also after its carrier has forgotten it.

    `state` is the value of a `JobState`, or `removed`. `arguments` are by name, hidden ones replaced by `***`; None
    when they are not recorded: of a task that is not declared where they were written, offloaded, or too large.
    `reason` is why it was cancelled. The error is that of its last attempt that failed.
    """

    id: JobId
    task: str
    queue: str
    carrier: str
    state: str
    priority: int = 0
    attempt: int = 0
    epoch: int = 0
    crashes: int = 0
    due_ms: int | None = None
    expires_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    removed_ms: int | None = None
    worker: str | None = None
    key: str | None = None
    reason: str = ""
    progress: float | None = None
    progress_message: str = ""
    arguments: dict[str, Any] | None = None
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    error_type: str | None = None
    error_message: str | None = None
    error_group: str | None = None
    route_version: int | None = None

    @property
    def enqueued_ms(self) -> int:
        """When the job's id was made."""
        return id_instant_ms(self.id)


class Execution(Struct, frozen=True, kw_only=True):
    """One attempt to run a job, under one lease.

    `outcome` is None while it runs (or when nobody has told of its end), else `succeeded`, `failed`, `retry`,
    `released`, `reclaimed`, `cancelled` or `expired`. `superseded_ms`: when an outcome of it came too late and was
    refused. `attempt` is 0 where it is not known. `due_ms` is when it was to start.
    """

    job_id: JobId
    epoch: int
    carrier: str
    attempt: int = 0
    worker: str | None = None
    due_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    outcome: str | None = None
    superseded_ms: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    error_group: str | None = None


class Happening(Struct, frozen=True):
    """One line of a job's timeline: `kind` is that of an event, or `moved`; `detail` says more in words."""

    at_ms: int
    kind: str
    carrier: str
    epoch: int = 0
    attempt: int = 0
    worker: str | None = None
    detail: str = ""


class RecordedLine(Struct, frozen=True, array_like=True):
    """One line of a job's log."""

    at_ms: int
    level: str
    message: str


class Timeline(Struct, frozen=True):
    """All that is recorded of one job: what happened, oldest first, each attempt, and its log."""

    job: RecordedJob
    happenings: tuple[Happening, ...]
    executions: tuple[Execution, ...]
    logs: tuple[RecordedLine, ...] = ()


class RecordPage(Struct, frozen=True):
    """Jobs, and the cursor of the next page; None: that was the last one."""

    jobs: tuple[RecordedJob, ...]
    cursor: str | None = None


class Count(Struct, frozen=True):
    """How many; `more`: there are more than were counted."""

    number: int
    more: bool = False


class ErrorGroup(Struct, frozen=True, kw_only=True):
    """Failures of one kind: the same type of exception, raised at the same place.

    `message` is an example. `jobs` counts those that are in the dead-letter state for it, as far as they are counted.
    """

    fingerprint: str
    type: str
    place: str
    message: str
    first_ms: int
    last_ms: int
    jobs: Count


class FeedState(Struct, frozen=True):
    """How far the events of one carrier are recorded.

    `at_ms` is the instant of the last event recorded, `seen_ms` when everything up to then was known to be recorded.
    `gaps` counts how often events were lost before they could be recorded; then jobs were read from the carrier.
    """

    carrier: str
    at_ms: int
    seen_ms: int
    gaps: int
    holder: str = ""
    until_ms: int = 0
