"""What the server answers, as values of Python. Fields that a later server adds are passed over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from headway.job import JobState


class Created(Struct, frozen=True):
    """A job that was made; `duplicate`: it was there before."""

    id: str
    task: str
    queue: str
    duplicate: bool = False


class Refused(Struct, frozen=True):
    """Why one of many jobs was not made."""

    kind: str
    detail: str


class BulkItem(Struct, frozen=True):
    """What became of one of many jobs: its id, or why there is none."""

    id: str | None = None
    duplicate: bool = False
    error: Refused | None = None


class BulkCreated(Struct, frozen=True):
    """What became of many jobs, in the order in which they were given."""

    accepted: int
    refused: int
    jobs: list[BulkItem]


class Attempt(Struct, frozen=True):
    """How one attempt ended that did not succeed."""

    attempt: int
    at: datetime
    type: str
    message: str = ""
    traceback: str = ""


class Job(Struct, frozen=True, kw_only=True):
    """A job, as the server shows it."""

    id: str
    task: str
    queue: str
    carrier: str
    state: JobState
    priority: int
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    headers: dict[str, str] = {}
    result: Any = None
    unreadable: str = ""
    enqueued_at: datetime
    due_at: datetime | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    crashes: int = 0
    worker: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    errors: list[Attempt] = []
    reason: str = ""
    progress: float | None = None
    progress_message: str = ""
    cancel_requested: bool = False


class JobPage(Struct, frozen=True):
    """Some jobs, and the cursor of the next page; None: those were the last."""

    jobs: list[Job]
    cursor: str | None = None


class Result(Struct, frozen=True):
    """How a job ended."""

    id: str
    state: JobState
    finished: bool
    result: Any = None
    error: Attempt | None = None
    reason: str = ""


class Acted(Struct, frozen=True):
    """What became of one job that something was done to; `state` None: unknown."""

    id: str
    done: bool
    state: JobState | None = None


class Queue(Struct, frozen=True, kw_only=True):
    """A queue with its jobs by state."""

    name: str
    paused: bool
    paused_until: datetime | None = None
    counts: dict[JobState, int] = {}
    oldest_ready_at: datetime | None = None
    oldest_ready_age_ms: int | None = None


class Event(Struct, frozen=True):
    """One live event. `type` is `job`, `queue`, `worker`, `rollout`, `migration`, or what the stream says of itself."""

    type: str
    data: dict[str, Any]
    id: str = ""
