"""The lines of ready jobs, and the table of unique locks: two parts of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headway.job import JobId, JobState, NewJob, UniqueMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WAITING = (JobState.SCHEDULED, JobState.READY)


@dataclass(slots=True)
class Lines:
    """A line for each queue and priority. Its places are groups: jobs that came in by one act have no order among themselves."""

    lines: dict[tuple[str, int], list[set[JobId]]] = field(default_factory=dict)

    def add(self, jobs: Iterable[NewJob], *, head: bool) -> None:
        """Let the jobs in, as one group a line."""
        groups: dict[tuple[str, int], set[JobId]] = {}
        for job in jobs:
            groups.setdefault((job.queue, job.priority), set()).add(job.id)
        for place, group in groups.items():
            line = self.lines.setdefault(place, [])
            line.insert(0 if head else len(line), group)

    def drop(self, job: NewJob) -> None:
        """Take a job out, wherever it stands."""
        line = self.lines.get((job.queue, job.priority), [])
        for group in line:
            group.discard(job.id)
        line[:] = [group for group in line if group]

    def front(self, queue: str) -> set[JobId]:
        """Tell which jobs may be handed out next; none when the queue is empty."""
        places = sorted(
            (place for place, line in self.lines.items() if place[0] == queue and line), reverse=True
        )
        return self.lines[places[0]][0] if places else set()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a unique lock says to a new job."""

    duplicate_of: JobId | None = None
    replaces: JobId | None = None
    hold: bool = False


@dataclass(slots=True)
class Locks:
    """Who holds each unique key since when, and who waits for its holder's end."""

    holders: dict[str, tuple[JobId, int]] = field(default_factory=dict)
    held: dict[str, JobId] = field(default_factory=dict)

    def judge(self, new: NewJob, now: int, state_of: Callable[[JobId], JobState | None]) -> Verdict:
        """Say whether a new job is refused, replaces the holder or has to wait for its end."""
        if new.unique is None:
            return Verdict()
        name = new.unique.key
        holder, since = self.holders.get(name, (JobId(""), 0))
        state = state_of(holder)
        match new.unique.mode:
            case UniqueMode.REJECT if state is not None:  # of those that ended, one that was withdrawn
                return Verdict(duplicate_of=holder)
            case UniqueMode.THROTTLE if holder and now < since + new.unique.window_ms:
                return Verdict(duplicate_of=holder)
            case UniqueMode.DEBOUNCE | UniqueMode.KEEP_LAST if state in WAITING:
                return Verdict(replaces=holder)
            case UniqueMode.KEEP_LAST if state is JobState.RUNNING:
                return Verdict(replaces=self.held.get(name), hold=True)
            case _:
                return Verdict()

    def take(self, new: NewJob, now: int, *, hold: bool) -> None:
        """Make an accepted job the holder, or the one that waits for the holder's end."""
        if new.unique is not None and hold:
            self.held[new.unique.key] = new.id
        elif new.unique is not None:
            self.holders[new.unique.key] = (new.id, now)

    def owner(self, name: str, job_id: JobId) -> JobId | None:
        """Return the job if it holds the key or waits for it."""
        return job_id if job_id in {self.holders.get(name, ("",))[0], self.held.get(name)} else None

    def let_go(self, job: NewJob) -> None:
        """Forget that the job waits for a holder's end."""
        if job.unique is not None and self.held.get(job.unique.key) == job.id:
            del self.held[job.unique.key]

    def release(self, job: NewJob, now: int) -> JobId | None:
        """Free what a complete or removed job holds; return the job that waited for it."""
        self.let_go(job)
        if job.unique is None or self.holders.get(job.unique.key, ("",))[0] != job.id:
            return None
        if job.unique.mode is not UniqueMode.THROTTLE:  # its window outlives the holder
            del self.holders[job.unique.key]
        heir = self.held.pop(job.unique.key, None)
        if heir is not None:
            self.holders[job.unique.key] = (heir, now)
        return heir
