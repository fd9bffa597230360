"""What every carrier does: take jobs, cancel them, and tell of their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from headway.job import JobId, JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.job import JobRecord, NewJob


class Enqueued(Struct, frozen=True):
    """The answer to one NewJob: its id, or the job that was there first (same key, unique key or fire time)."""

    id: JobId
    duplicate_of: JobId | None = None


class CancelResult(Struct, frozen=True):
    """The job's state after the request: a waiting one is cancelled, a running one still runs; None: unknown."""

    id: JobId
    state: JobState | None


class Broker(Protocol):
    """Every carrier. Raises BrokerUnavailableError or BrokerRefusedError from each call."""

    async def open(self) -> None:
        """Connect; create what is missing. Opening an open broker does nothing."""
        ...

    async def close(self) -> None:
        """Release every connection. Closing a closed broker does nothing."""
        ...

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept the jobs durably, in their order. Repeating a call with the same ids adds nothing.

        All or none; a carrier whose capabilities say `atomic=False` raises PartlyAcceptedError when it accepted some.
        """
        ...

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> list[CancelResult]:
        """Cancel waiting jobs at once and ask the workers of running ones (signal CancelRequested)."""
        ...

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait until the job is terminal; return its record then, or as it is when the time is over; None: unknown."""
        ...
