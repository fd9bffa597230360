"""The scheduled jobs that there are. In memory is the truth; each change also goes to the journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.clock import from_ms
from headway.emulator.scheduler.definitions import backoff_of, schedule_of
from headway.emulator.scheduler.turns import Turn
from headway.emulator.scheduler.wire import Job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.emulator.journal import Journal
    from headway.emulator.model import RetryConfig
    from headway.emulator.wire import Message
    from headway.schedules.schedule import Cron

_KIND: Final = "scheduled-job"
_incarnations: Final = count()


class Outcome(Struct, frozen=True):
    """How the last attempt ended: a code of google.rpc, 0 when all was well."""

    started_ms: int
    code: int = 0
    message: str = ""


class _Kept(Struct, frozen=True, array_like=True):
    """The form in the journal; fields are only ever added, at the end, with a default."""

    definition: bytes
    turn: Turn
    paused: bool
    updated_ms: int
    outcome: Outcome | None


@dataclass(frozen=True)
class Entry:
    """A job: its definition, which nobody changes in place, and where it stands."""

    definition: Message
    turn: Turn
    updated_ms: int
    paused: bool = False
    outcome: Outcome | None = None
    incarnation: int = field(default_factory=lambda: next(_incarnations))
    """Tells a job from a deleted one of its name. Not in the journal: at a start nothing is under way."""

    @property
    def name(self) -> str:
        """The full resource name."""
        return str(self.definition.name)

    @cached_property
    def schedule(self) -> Cron:
        """The times at which it runs."""
        return schedule_of(self.definition)

    @cached_property
    def backoff(self) -> RetryConfig:
        """When a failed attempt is followed by another."""
        return backoff_of(self.definition)

    def shown(self) -> Message:
        """Return the job as the API shows it."""
        job = Job()
        Job.copy_from(job, self.definition)
        job.state = Job.State.PAUSED if self.paused else Job.State.ENABLED
        job.user_update_time = from_ms(self.updated_ms)
        if not self.paused:
            job.schedule_time = from_ms(self.turn.due_ms)
        if self.outcome is not None:
            job.last_attempt_time = from_ms(self.outcome.started_ms)
            status = Job.pb(job).status
            status.SetInParent()  # also when all was well
            status.code, status.message = self.outcome.code, self.outcome.message
        return job


class Entries:
    """All jobs, by name."""

    def __init__(self, journal: Journal) -> None:
        """`load` brings back what the journal kept."""
        self._journal = journal
        self._entries: dict[str, Entry] = {}

    def load(self) -> None:
        """Take over what an earlier emulator left in the journal."""
        self._entries = self._journal.read(_KIND, _entry)

    def get(self, name: str) -> Entry | None:
        """Return the job, if there is one."""
        return self._entries.get(name)

    def all(self) -> Iterable[Entry]:
        """Return all jobs."""
        return self._entries.values()

    def put(self, entry: Entry) -> Entry:
        """Make a job, or change it."""
        self._entries[entry.name] = entry
        kept = _Kept(
            Job.serialize(entry.definition), entry.turn, entry.paused, entry.updated_ms, entry.outcome
        )
        self._journal.put(_KIND, entry.name, _encode(kept))
        return entry

    def drop(self, name: str) -> None:
        """Forget a job."""
        del self._entries[name]
        self._journal.drop(_KIND, name)

    @property
    def writable(self) -> bool:
        """Whether changes still reach the disk; once they do not, nothing more may be dispatched."""
        return self._journal.failure is None

    async def commit(self) -> None:
        """Wait until the changes are on the disk."""
        await self._journal.commit()


def _entry(data: bytes) -> Entry:
    kept = _decode(data)
    return Entry(Job.deserialize(kept.definition), kept.turn, kept.updated_ms, kept.paused, kept.outcome)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Kept).decode
