"""A source in the memory of this process, whole enough to bring jobs along and back: `--from tests.unit.memory_source:make`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from headway.errors import BrokerUnavailableError
from headway.migrate.found import FoundJob, FoundState
from headway.migrate.ledger import head_of
from headway.migrate.source import Entry, EntryPage, Status, Stays, Taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from headway.migrate.found import FoundSchedule
    from headway.migrate.source import Back, Wanted

PATH = "tests.unit.memory_source:make"


class MemorySource:
    """Jobs by queue; their ledger stays when the source is opened again."""

    kind = "memory"
    identity = "old"

    def __init__(self) -> None:
        self.jobs: dict[str, list[FoundJob]] = {}
        self.ledger: dict[str, Entry] = {}
        self.held: dict[str, FoundJob] = {}
        self.fails_after: int | None = None  # that many pages are read, then it does not answer

    def add(self, queue: str, *names: str, **fields: Any) -> None:
        """Let jobs of these names wait in a queue."""
        known = self.jobs.setdefault(queue, [])
        for name in names:
            number = len(known) + len(self.ledger) + 1
            known.append(
                FoundJob(
                    source_id=f"{name}-{number}",
                    queue=queue,
                    instant_ms=1_700_000_000_000 + number,
                    name=name,
                    **{"state": FoundState.WAITING, "args": (number,), **fields},
                )
            )

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def queues(self) -> list[str]:
        return sorted(self.jobs)

    async def counts(self, queue: str) -> Mapping[FoundState, int]:
        states = [job.state for job in self.jobs.get(queue, ())]
        return {state: states.count(state) for state in set(states)}

    async def pages(
        self, queue: str, states: Collection[FoundState], *, fresh_since_ms: int | None = None
    ) -> AsyncIterator[Sequence[FoundJob]]:
        assert fresh_since_ms is None or fresh_since_ms
        for job in [one for one in self.jobs.get(queue, ()) if one.state in states]:
            if self.fails_after is not None:
                self.fails_after -= 1
                if self.fails_after < 0:
                    msg = "memory://old cannot be reached"
                    raise BrokerUnavailableError(msg)
            yield [job]

    async def repeatables(self, queue: str) -> list[FoundSchedule]:
        assert queue
        return []

    async def now_ms(self) -> int:
        return 1_800_000_000_000

    async def take(self, queue: str, wanted: Sequence[Wanted]) -> list[Taken | Stays | None]:
        answers: list[Taken | Stays | None] = []
        for one in wanted:
            known = self.ledger.get(one.entry_id)
            if one.job not in self.jobs[queue] or (
                known is not None and known.status not in {Status.REVERTED, Status.REFUSED}
            ):
                answers.append(None)
                continue
            self.jobs[queue].remove(one.job)
            self.held[one.entry_id] = one.job
            assert head_of(one)
            self.ledger[one.entry_id] = Entry(
                entry_id=one.entry_id,
                number=len(self.ledger) + 1 if known is None else known.number,
                source_id=one.job.source_id,
                queue=queue,
                name=one.job.name,
                state=one.job.state,
                status=Status.TAKEN,
                since_ms=1_800_000_000_000,
                lives=0 if known is None else known.lives + 1,
                intent=one.intent,
                digest=one.digest,
                instant_ms=one.job.instant_ms,
            )
            answers.append(Taken(one.entry_id, self.ledger[one.entry_id].lives))
        return answers

    async def mark(self, queue: str, entry_ids: Sequence[str], notes: Sequence[str]) -> None:
        assert queue
        for entry_id, note in zip(entry_ids, notes, strict=True):
            self.ledger[entry_id] = replace(self.ledger[entry_id], status=Status.ENQUEUED, note=note)

    async def put_back(self, queue: str, backs: Sequence[Back]) -> list[bool]:
        for back in backs:
            self.jobs[queue].append(self.held.pop(back.entry_id))
            self.ledger[back.entry_id] = replace(self.ledger[back.entry_id], status=back.status)
        return [True] * len(backs)

    async def entries(
        self, queue: str, *, status: Status | None = None, after: int = 0, limit: int = 200
    ) -> EntryPage:
        assert (after, limit) == (0, 200)
        found = [one for one in self.ledger.values() if one.queue == queue]
        return EntryPage(tuple(one for one in found if status in {None, one.status}))

    async def find(self, queue: str, entry_ids: Sequence[str]) -> list[Entry | None]:
        assert queue
        return [self.ledger.get(one) for one in entry_ids]

    async def adopt(self, queue: str, entry_ids: Sequence[str], *, older_than_ms: int) -> list[bool]:
        assert queue
        assert older_than_ms
        return [True for _ in entry_ids]


present = MemorySource()
"""The one that `make` returns, so that a second command finds what the first one left."""


def make(url: str, options: object) -> MemorySource:
    """Return the present source."""
    assert url.startswith("memory://")
    assert options is not None
    return present
