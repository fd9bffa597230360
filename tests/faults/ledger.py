"""The check at the end of each case: what went in has come out, once.

The figures come from the carrier (records and events), and from the effects that the handlers wrote by themselves.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from headway.events import EventKind
from headway.job import JobRecord, JobState, NewJob, new_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import Store
    from headway.events import Event
    from headway.job import JobId

_TERMINAL: Final = {
    EventKind.SUCCEEDED: JobState.SUCCEEDED,
    EventKind.FAILED: JobState.FAILED,
    EventKind.CANCELLED: JobState.CANCELLED,
    EventKind.EXPIRED: JobState.EXPIRED,
}
_ENDS_RUN: Final = frozenset({*_TERMINAL, EventKind.RETRY, EventKind.RELEASED, EventKind.RECLAIMED})
_PAGE: Final = 500
_SHOWN: Final = 12  # events of a job in the table
_MARKER_QUEUE: Final = "ledger"


class LedgerError(AssertionError):
    """Jobs were lost, completed twice, or have an implausible record; the message has a table of them."""

    def __init__(self, message: str, *, lost: int, twice: int) -> None:
        super().__init__(message)
        self.lost = lost
        self.twice = twice


async def all_events(carrier: Store) -> list[Event]:
    """Return all events that the carrier has kept, in order.

    A marker job, made and removed here, ends the reading: all that happened before the call is in front of it.
    """
    marker = NewJob(new_job_id(), "marker", _MARKER_QUEUE, b"", due_ms=2**43)
    await carrier.enqueue([marker])
    await carrier.cancel([marker.id])
    found: list[Event] = []
    events: Any = carrier.events("0" if carrier.capabilities.name == "sqlite" else "0-0")
    try:
        async with asyncio.timeout(20):
            async for event in events:
                if event.queue != _MARKER_QUEUE:
                    found.append(event)
                elif event.job_id == marker.id and event.kind is EventKind.CANCELLED:
                    return found
    finally:
        await events.aclose()
    return found


class Ledger:
    """What the carrier says of the accepted jobs."""

    def __init__(
        self,
        accepted: Sequence[JobId],
        records: Sequence[JobRecord | None],
        events: Sequence[Event],
        effects: Sequence[dict[str, Any]],
    ) -> None:
        self.accepted = list(accepted)
        self.records = dict(zip(accepted, records, strict=True))
        self.events: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            self.events[event.job_id].append(event)
        self.effects: dict[str, Counter[str]] = defaultdict(Counter)
        for line in effects:
            self.effects[line["job"]][line["what"]] += 1

    @classmethod
    async def read(
        cls, carrier: Store, accepted: Sequence[JobId], effects: Sequence[dict[str, Any]]
    ) -> Ledger:
        """Read it from the carrier."""
        records: list[JobRecord | None] = []
        for first in range(0, len(accepted), _PAGE):
            records += await carrier.get(accepted[first : first + _PAGE])
        return cls(accepted, records, await all_events(carrier), effects)

    @property
    def lost(self) -> list[JobId]:
        """Accepted jobs that are unknown or not terminal."""
        return [
            job_id for job_id, record in self.records.items() if record is None or not record.state.terminal
        ]

    @property
    def twice(self) -> list[JobId]:
        """Jobs with more than one terminal transition in a life."""
        return [
            job_id
            for job_id in self.accepted
            if len(self._terminal(job_id))
            > 1 + sum(event.kind is EventKind.RETRIED for event in self.events[job_id])
        ]

    def count(self, kind: EventKind) -> int:
        """How often an event of this kind was recorded for the accepted jobs."""
        return sum(event.kind is kind for job_id in self.accepted for event in self.events[job_id])

    def check(self) -> None:
        """Raise LedgerError unless each accepted job is terminal, has got there once, and has a plausible record."""
        wrong = {job_id: faults for job_id in self.accepted if (faults := self._faults(job_id))}
        unknown = sorted(set(self.events) - set(self.accepted))
        if not wrong and not unknown:
            return
        lines = [
            f"{len(self.accepted)} accepted, {len(self.lost)} lost, {len(self.twice)} completed twice",
            f"{len(wrong)} with an implausible record, {len(unknown)} that nobody enqueued",
        ]
        for job_id, faults in list(wrong.items())[:10]:
            record = self.records[job_id]
            lines.append(f"{job_id} {record.task if record else '?'}: {'; '.join(faults)}")
            lines.append(f"    {_short(record)}")
            lines += [
                f"    {event.at_ms} {event.kind} epoch {event.epoch} {event.worker or ''}"
                for event in self.events[job_id][-_SHOWN:]
            ]
        raise LedgerError("\n".join(lines), lost=len(self.lost), twice=len(self.twice))

    def _terminal(self, job_id: JobId) -> list[Event]:
        return [event for event in self.events[job_id] if event.kind in _TERMINAL]

    def _faults(self, job_id: JobId) -> list[str]:
        record = self.records[job_id]
        if record is None:
            return ["lost: the carrier does not know it"]
        if not record.state.terminal:
            return [f"lost: still {record.state}"]
        events = self.events[job_id]
        kinds = Counter(event.kind for event in events)
        terminal = self._terminal(job_id)
        started = [event.epoch for event in events if event.kind is EventKind.STARTED]
        ended = sum(kinds[kind] for kind in _ENDS_RUN)
        never_ran = record.state in {JobState.CANCELLED, JobState.EXPIRED} and not started
        effects = self.effects[job_id]
        checks = {
            f"{len(terminal)} terminal events": len(terminal) == 1 + kinds[EventKind.RETRIED],
            f"{kinds[EventKind.ENQUEUED]} enqueued events": kinds[EventKind.ENQUEUED] == 1,
            f"record {record.state}, last terminal event {[event.kind for event in terminal]}": (
                not terminal or _TERMINAL[terminal[-1].kind] is record.state
            ),
            f"epochs of starts {started}, record epoch {record.epoch}": (
                started == list(range(1, record.epoch + 1))
            ),
            f"{len(started)} starts, {ended} ends": never_ran or ended == len(started),
            f"attempt {record.attempt}, crashes {record.crashes}, epoch {record.epoch}": (
                0 <= record.crashes <= record.attempt <= record.epoch
            ),
            f"handler completed {effects['end']} times, superseded {kinds[EventKind.SUPERSEDED]}": (
                record.state is not JobState.SUCCEEDED
                # A completion whose worker died before it was settled is run again: at least once, never unseen.
                or 1 <= effects["end"] <= len(started)
            ),
            f"handler started {effects['start']} times, claimed {len(started)} times": (
                effects["start"] <= len(started)
            ),
        }
        return [text for text, holds in checks.items() if not holds]


def _short(record: JobRecord | None) -> str:
    if record is None:
        return "(no record)"
    return (
        f"{record.state} epoch {record.epoch} attempt {record.attempt} crashes {record.crashes} "
        f"worker {record.worker} reason {record.reason!r}"
    )
