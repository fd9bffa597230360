"""Life-cycle events: what happened to a job, when, under which epoch."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from headway.job import JobId, WorkerId


class EventKind(StrEnum):
    """What happened. The terminal kinds carry the names of the terminal states; each occurs at most once a life."""

    ENQUEUED = "enqueued"  # accepted, ready or scheduled
    STARTED = "started"  # claimed by a worker
    RETRY = "retry"  # an attempt ended, the next one is scheduled
    RELEASED = "released"  # handed back unfinished by its worker or its supervisor
    RECLAIMED = "reclaimed"  # taken back from a dead worker
    SUPERSEDED = "superseded"  # a settle under a stale epoch was refused
    RETRIED = "retried"  # a completed job was given a new life by hand
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REMOVED = "removed"


class Event(Struct, frozen=True):
    """One event. `cursor` is opaque: give it back as `after` to go on behind this event.

    `attempt` is that which was started, counted from 1; 0 where it is not told, as with all other kinds.
    """

    cursor: str
    kind: EventKind
    job_id: JobId
    at_ms: int
    queue: str = ""
    epoch: int = 0
    worker: WorkerId | None = None
    attempt: int = 0
