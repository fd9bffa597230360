"""What is asked of a carrier from outside: its jobs, queues, workers and schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from headway.job import JobId, JobRecord, JobState, WorkerId

if TYPE_CHECKING:
    import builtins  # in Inspector `list` is a method
    from collections.abc import AsyncIterator, Sequence

    from headway.brokers.base.reports import LogLine
    from headway.events import Event
    from headway.job import Fire


class JobQuery(Struct, frozen=True):
    """Which jobs: all given conditions hold.

    Of the states, queues and tasks any one fits; none named is all of them. `search` is a substring of the id, the task
    or the key, case-insensitive.
    """

    states: tuple[JobState, ...] = ()
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    search: str | None = None


class JobPage(Struct, frozen=True):
    """Jobs in a stable order, and the cursor of the next page (None: that was the last one)."""

    jobs: list[JobRecord]
    cursor: str | None = None


class QueueCounts(Struct, frozen=True):
    """Jobs of one queue by state, and the instant (epoch ms) since which its oldest ready job waits."""

    queue: str
    paused: bool
    counts: dict[JobState, int]
    oldest_ready_ms: int | None = None


class WorkerRecord(Struct, frozen=True):
    """A worker: how many jobs it holds, and until when its lease on them runs.

    One that holds none is there as long as it listens for some. `queues` are those it asks for, `since_ms` is when
    it began, as far as the carrier knows. `draining`: somebody asked it to drain and end.
    """

    id: WorkerId
    lease_until_ms: int | None
    holds: int
    queues: tuple[str, ...] = ()
    since_ms: int | None = None
    draining: bool = False


class Inspector(Protocol):
    """What the CLI, the API and the dashboard ask of a carrier."""

    async def get(self, ids: Sequence[JobId]) -> builtins.list[JobRecord | None]:
        """Return the records, in the order of the ids."""
        ...

    async def logs(self, job_id: JobId) -> builtins.list[LogLine]:
        """Return the job's log, oldest line first."""
        ...

    async def list(self, query: JobQuery, *, after: str | None = None, limit: int = 100) -> JobPage:
        """List matching jobs; `after` is the cursor of the page before."""
        ...

    async def counts(self, queues: Sequence[str] | None = None) -> builtins.list[QueueCounts]:
        """Count by state, for these queues or for all that hold a job or are paused, sorted by name."""
        ...

    async def pause(self, queue: str) -> None:
        """Hand out no more jobs of this queue; running ones go on, new ones are accepted."""
        ...

    async def resume(self, queue: str) -> None:
        """Hand out jobs of this queue again."""
        ...

    async def paused(self) -> frozenset[str]:
        """Return the paused queues."""
        ...

    async def remove(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Forget jobs that are not running, with all that belongs to them; tell for each whether it was removed."""
        ...

    async def retry(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Give failed, cancelled or expired jobs a new life, ready and with fresh attempts; tell which were."""
        ...

    async def promote(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Make scheduled jobs ready now; tell for each whether it was scheduled."""
        ...

    async def drain(self, queue: str) -> int:
        """Remove all waiting (ready and scheduled) jobs of the queue; return how many."""
        ...

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """Remove completed jobs of a terminal state that finished more than `older_than_ms` ago; return how many."""
        ...

    async def workers(self) -> builtins.list[WorkerRecord]:
        """Return the workers that hold jobs, and those that listen for some, sorted by name."""
        ...

    async def events_end(self) -> str:
        """Return the cursor behind the last event so far; `events` after it goes on from here."""
        ...

    async def events_kept(self, after: str) -> bool:
        """Tell whether every event behind this cursor is still kept; false also where that cannot be told."""
        ...

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yield events from now on, or those behind the cursor `after` that are still kept, until closed."""
        ...


class ScheduleRecord(Struct, frozen=True):
    """A schedule as the carrier keeps it.

    `spec` is the text of its declaration, `last_fire_ms` the last fire time accepted.
    """

    name: str
    spec: str
    task: str
    paused: bool = False
    last_fire_ms: int | None = None
    declared_ms: int = 0


class MadeSchedule(Struct, frozen=True):
    """A schedule that was made at run time, as the carrier keeps it: what it holds is read by the app alone.

    `revision` tells which of two is the later: it is the instant of the change in ms since 1970 UTC, or one more than
    the one before where that is not behind it. No `body`: it was deleted. `last_fire_ms` is as that of a declared one.
    """

    name: str
    revision: int
    body: bytes
    last_fire_ms: int | None = None

    @property
    def deleted(self) -> bool:
        """True of what is left of one: so that a carrier that was away learns that it was deleted."""
        return not self.body


KEPT_DELETED_MS = 31 * 24 * 3600 * 1000
"""How long what is left of a deleted schedule is kept, with its last fire time; then both are forgotten."""


class ScheduleStore(Protocol):
    """Where the schedules of an app are known, so that any process can pause one."""

    async def declare_schedules(self, schedules: Sequence[ScheduleRecord], /) -> None:
        """Make these known and forget all others; `paused` and `last_fire_ms` of known ones stay."""
        ...

    async def schedules(self) -> list[ScheduleRecord]:
        """Return all, sorted by name."""
        ...

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """Pause or resume; false when there is no such schedule."""
        ...

    async def skip_fire(self, fire: Fire) -> None:
        """Mark the fire time as done without a job (while paused, or skipped by the catch-up policy)."""
        ...

    async def made_schedules(self) -> list[MadeSchedule]:
        """Return those made at run time, sorted by name, also what is left of deleted ones.

        One that cannot be read is named in the log, once, and left out.
        """
        ...

    async def write_schedule(self, made: MadeSchedule, /, *, expected: int) -> bool:
        """Keep it, if the revision that is there is `expected` (0: there is none); its last fire is not touched.

        False, and nothing is written: another revision is there. Repeating a write that was applied answers True.
        """
        ...
