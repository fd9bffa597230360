"""The way back: jobs that have not started here go into the source again, where its workers run them.

A job is withdrawn here, put back there in one step with its entry, and forgotten here, in this order. Withdrawn, it can
be started by nobody; and whoever goes on finds it withdrawn for this reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from headway.job import JobState
from headway.migrate.found import FoundState
from headway.migrate.notes import Sent, read_note, sent_id
from headway.migrate.source import Back, Entry, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.job import JobId
    from headway.migrate.carrying import Carrying
    from headway.migrate.destination import Destination, Located
    from headway.migrate.progress import Meter
    from headway.migrate.source import Source

_NAMED: Final = 1000
_WAITING: Final = (JobState.READY, JobState.SCHEDULED)


class Stayed(Struct, frozen=True):
    """A job that was brought along and does not go back."""

    queue: str
    source_id: str
    job_id: str
    why: str


class Reverted(Struct):
    """What came of a way back. `stayed` names at most a thousand; `more_stayed` counts the others."""

    reverted: int = 0
    rows: dict[tuple[str, FoundState], int] = field(default_factory=dict[tuple[str, FoundState], int])
    stayed: list[Stayed] = field(default_factory=list[Stayed])
    more_stayed: int = 0

    def note_back(self, entry: Entry) -> None:
        """Count one that is back."""
        self.reverted += 1
        key = entry.queue, entry.state
        self.rows[key] = self.rows.get(key, 0) + 1

    def note(self, entry: Entry, job_id: str, why: str) -> None:
        """Name one that stays."""
        if len(self.stayed) < _NAMED:
            self.stayed.append(Stayed(entry.queue, entry.source_id, job_id, why))
        else:
            self.more_stayed += 1


class Reverting:
    """Puts jobs back."""

    def __init__(self, source: Source, destination: Destination, carrying: Carrying, meter: Meter) -> None:
        """All are open."""
        self._source = source
        self._destination = destination
        self._carrying = carrying
        self._meter = meter
        self._reason = f"back to {source.kind}"
        self.done = Reverted()  # as it grows, for whoever tells how far it is

    async def revert(self, queues: Sequence[str], *, dry_run: bool = False) -> Reverted:
        """Put back what has not started; errors as `Carrying.carry`, and the same call goes on where this one ended."""
        done = self.done = Reverted()
        for queue in queues:
            if not dry_run:
                await self._carrying.finish(queue)  # so that it is known where each of them is
            after: int | None = 0
            while after is not None:
                page = await self._source.entries(queue, status=Status.ENQUEUED, after=after)
                await self._page([one for one in page.entries if not one.schedule], done, dry_run=dry_run)
                self._meter.add(len(page.entries))
                after = page.after
        return done

    async def _page(self, entries: Sequence[Entry], done: Reverted, *, dry_run: bool) -> None:
        sent: dict[JobId, tuple[Entry, Sent]] = {}
        by_carrier: dict[str, list[JobId]] = {}
        for entry in entries:
            note = read_note(entry)
            if note is None:
                done.note(entry, "", "the ledger does not say where it went: was its note changed?")
            elif note.duplicate_of:
                done.note(
                    entry, note.duplicate_of, f"its key is that of job {note.duplicate_of}, no job was made"
                )
            else:
                job_id = sent_id(entry, note)
                sent[job_id] = (entry, note)
                by_carrier.setdefault(note.carrier, []).append(job_id)
        where = await self._destination.locate(by_carrier)
        going: dict[str, list[JobId]] = {}
        for job_id, (entry, note) in sent.items():
            if why := self._staying(where.get(job_id), note):
                done.note(entry, job_id, why)
            else:
                going.setdefault(where[job_id].carrier, []).append(job_id)
        if dry_run:
            done.reverted += sum(map(len, going.values()))
            return
        for carrier, ids in going.items():
            await self._back(carrier, ids, sent, done)

    def _staying(self, located: Located | None, note: Sent) -> str:
        if located is None:
            return "its record is not kept any more: it has ended"
        record = located.record
        if record.withdrawn and record.reason == self._reason:
            return ""  # an earlier way back was interrupted here
        if record.state not in _WAITING:
            return f"it is {record.state.value} here"
        if record.attempt > note.attempt:
            return f"it has started here, {record.attempt - note.attempt} attempts were made"
        if not self._destination.gives_away(located.carrier):
            return f"carrier {located.carrier!r} cannot give jobs away"
        return ""

    async def _back(
        self, carrier: str, ids: Sequence[JobId], sent: dict[JobId, tuple[Entry, Sent]], done: Reverted
    ) -> None:
        records = await self._destination.withdraw(carrier, ids, self._reason)
        fit: list[JobId] = []
        for job_id in ids:
            entry, note = sent[job_id]
            record = records.get(job_id)
            if record is None:
                done.note(entry, job_id, "it has started here just now")
            elif record.attempt > note.attempt:
                await self._destination.take_back(carrier, record)
                done.note(entry, job_id, "it has started here just now")
            else:
                fit.append(job_id)
        by_queue: dict[str, list[JobId]] = {}
        for job_id in fit:
            by_queue.setdefault(sent[job_id][0].queue, []).append(job_id)
        for queue, some in by_queue.items():
            backs = [
                Back(sent[one][0].entry_id, sent[one][0].source_id, Status.REVERTED, "by hand")
                for one in some
            ]
            answers = await self._source.put_back(queue, backs)
            gone: list[JobId] = []
            for job_id, is_back in zip(some, answers, strict=True):
                if is_back:
                    gone.append(job_id)
                else:
                    await self._destination.take_back(carrier, records[job_id])
                    done.note(sent[job_id][0], job_id, "another job has its id in the source by now")
            await self._destination.remove(carrier, gone)
            for one in gone:
                done.note_back(sent[one][0])
