"""Counting: what was found is moved, left, refused or reverted, each once, and what was moved is here as it was there.

Both sides may go on meanwhile. Memory does not grow with the number of jobs: sets are compared by sums of hashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from headway.migrate.census import Census
from headway.migrate.deciding import Intent, Refused
from headway.migrate.found import FoundState
from headway.migrate.ids import entry_id
from headway.migrate.notes import Sent, read_note, sent_id
from headway.migrate.plan import LOOKED_AT, expect, judge, note
from headway.migrate.source import Entry, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headway.job import JobId
    from headway.migrate.deciding import Deciding
    from headway.migrate.destination import Destination
    from headway.migrate.found import FoundJob
    from headway.migrate.progress import Meter
    from headway.migrate.source import Source

_NAMED: Final = 100


class Account(Struct):
    """The jobs of one queue by the state in which they were found."""

    queue: str
    state: FoundState
    moved: int = 0
    reverted: int = 0
    refused: int = 0  # and where they were
    left: int = 0
    pending: int = 0  # would be moved by the next `apply`
    under_way: int = 0  # taken, and not yet marked
    completed: int = 0  # of the moved ones: ended here, and their records are kept no longer

    @property
    def found(self) -> int:
        """All of them."""
        return self.moved + self.reverted + self.refused + self.left + self.pending + self.under_way


class Trouble(Struct, frozen=True):
    """A job that is not as it should be."""

    queue: str
    source_id: str
    job_id: str
    why: str


class Verified(Struct):
    """What was found. `ids` and `digests` are sums over what was moved: of what was sent, and of what is here."""

    accounts: dict[tuple[str, FoundState], Account] = field(
        default_factory=dict[tuple[str, FoundState], Account]
    )
    census: Census = field(default_factory=Census)
    troubles: list[Trouble] = field(default_factory=list[Trouble])
    more_troubles: int = 0
    digests_sent: int = 0
    digests_here: int = 0
    compared: int = 0

    @property
    def sound(self) -> bool:
        """Whether all is accounted for: nothing lost, doubled, changed, or on its way."""
        return (
            not self.troubles
            and self.digests_sent == self.digests_here
            and not any(one.under_way for one in self.accounts.values())
        )

    def account(self, queue: str, state: FoundState) -> Account:
        """Return an account, made when it is first asked for."""
        return self.accounts.setdefault((queue, state), Account(queue, state))

    def trouble(self, entry: Entry, job_id: str, why: str) -> None:
        """Name what is wrong."""
        if len(self.troubles) < _NAMED:
            self.troubles.append(Trouble(entry.queue, entry.source_id, job_id, why))
        else:
            self.more_troubles += 1


class Verifying:
    """Counts."""

    def __init__(self, source: Source, deciding: Deciding, destination: Destination, meter: Meter) -> None:
        """All are open."""
        self._source = source
        self._deciding = deciding
        self._destination = destination
        self._meter = meter

    async def verify(self, queues: Sequence[str], states: Collection[FoundState] = LOOKED_AT) -> Verified:
        """Look at the ledger, at what was moved, and at what is still there."""
        found = Verified()
        await expect(self._source, queues, states, self._meter)
        for queue in queues:
            await self._ledger(queue, found)
            async for page in self._source.pages(queue, states):
                await self._left(queue, page, found)
                self._meter.add(len(page))
        return found

    async def _ledger(self, queue: str, found: Verified) -> None:
        now_ms = await self._source.now_ms()
        after: int | None = 0
        while after is not None:
            page = await self._source.entries(queue, after=after)
            moved: list[Entry] = []
            for entry in page.entries:
                if entry.schedule:
                    continue
                account = found.account(queue, entry.state)
                match entry.status:
                    case Status.ENQUEUED:
                        account.moved += 1
                        moved.append(entry)
                    case Status.REVERTED:
                        account.reverted += 1
                    case Status.REFUSED:
                        account.refused += 1
                    case Status.TAKEN:
                        account.under_way += 1
            await self._moved(moved, found, now_ms)
            self._meter.add(len(page.entries))
            after = page.after

    async def _moved(self, entries: Sequence[Entry], found: Verified, now_ms: int) -> None:
        sent: dict[str, tuple[Sent, JobId]] = {}
        by_carrier: dict[str, list[JobId]] = {}
        for entry in entries:
            note_ = read_note(entry)
            if note_ is None:
                found.trouble(entry, "", "the ledger does not say where it went")
                continue
            job_id = sent_id(entry, note_)
            sent[entry.entry_id] = (note_, job_id)
            by_carrier.setdefault(note_.carrier, []).append(job_id)
        where = await self._destination.locate(by_carrier)
        for entry in entries:
            if entry.entry_id not in sent:
                continue
            note_, job_id = sent[entry.entry_id]
            located = where.get(job_id)
            if located is None:
                age_ms = now_ms - entry.since_ms
                if await self._dropped(note_.carrier, age_ms):
                    found.account(entry.queue, entry.state).completed += 1
                else:
                    found.trouble(entry, job_id, f"it was sent to {note_.carrier!r} and is on no carrier")
            elif located.record.withdrawn:
                found.trouble(entry, job_id, f"it is on its way back: {located.record.reason}")
            elif not note_.duplicate_of:
                await self._compare(entry, job_id, await self._destination.digest(located.record), found)

    async def _dropped(self, carrier: str, age_ms: int) -> bool:
        return self._destination.serves(carrier) and await self._destination.may_have_dropped(carrier, age_ms)

    async def _compare(self, entry: Entry, job_id: str, digest: str | None, found: Verified) -> None:
        if digest is None or not entry.digest:
            return
        found.compared += 1
        found.digests_sent = _added(found.digests_sent, entry.digest)
        found.digests_here = _added(found.digests_here, digest)
        if digest != entry.digest:
            found.trouble(entry, job_id, "its arguments are not those that were sent")

    async def _left(self, queue: str, jobs: Sequence[FoundJob], found: Verified) -> None:
        entries = await self._source.find(queue, [entry_id(self._source, job) for job in jobs])
        for job, entry in zip(jobs, entries, strict=True):
            if entry is not None and entry.source_id == job.source_id and job.instant_ms == entry.instant_ms:
                if entry.status in {Status.ENQUEUED, Status.TAKEN} and not job.refusal:
                    await self._doubled(queue, job, entry, found)
                continue  # counted with the ledger: it is where it was
            found.census.note_found(job)
            decision = judge(self._source, job, self._deciding, self._destination)
            note(found.census, job, decision)
            account = found.account(queue, job.state)
            if isinstance(decision, Intent):
                account.pending += 1
            elif isinstance(decision, Refused):
                account.refused += 1
            else:
                account.left += 1

    async def _doubled(self, queue: str, job: FoundJob, entry: Entry, found: Verified) -> None:
        """Name a job that is in both places, unless it was put back between the two looks."""
        (again,) = await self._source.find(queue, [entry.entry_id])
        if again is not None and again.status in {Status.ENQUEUED, Status.TAKEN}:
            found.trouble(entry, "", f"it was moved, and is {job.state.value} in the source as well")


def _added(total: int, digest: str) -> int:
    return (total + int(digest, 16)) % (1 << 64)
