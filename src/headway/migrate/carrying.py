"""Carrying jobs over: taken there, enqueued here, marked there; and finishing what somebody else has begun.

Whoever is killed leaves entries that are TAKEN. Nobody touches those of others before they are 10 s old, by the clock
of the source: then whoever had them is dead or has lost them, and looks first when it wakes up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import Enqueued
from headway.errors import ConfigError
from headway.migrate.deciding import Intent, decode_intent, encode_intent
from headway.migrate.ids import entry_id
from headway.migrate.notes import Sent, encode_note
from headway.migrate.source import Back, Entry, Status, Stays, Taken, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.migrate.destination import Destination
    from headway.migrate.found import FoundJob
    from headway.migrate.source import Source

STALE_MS: Final = 10_000  # by then nobody works on an entry any more
_HELD_S: Final = 3.0  # after so long one looks whether the entries are still one's own
_SALTS: Final = 8
_DOUBTFUL_MS: Final = 60_000  # carriers keep what has completed at least so long


class Outcome(Struct, frozen=True):
    """What became of a job: MOVED, REFUSED or left with the reason, or GONE from where it was."""

    status: (
        Status | None
    )  # ENQUEUED, REFUSED; None: it was left, was not there to be taken, or is with somebody else
    why: str = ""


GONE: Final = Outcome(None)
MOVED: Final = Outcome(Status.ENQUEUED)


class Finished(Struct, frozen=True):
    """What came of entries that were TAKEN by others."""

    moved: int = 0
    refused: int = 0
    young: int = 0  # with somebody who may be at work on them
    doubtful: tuple[Entry, ...] = ()  # nobody can tell whether they were enqueued: they stay as they are


class _UnderWay(Struct, frozen=True):
    entry_id: str
    source_id: str
    lives: int
    intent: Intent


class Load(Struct, frozen=True):
    """Jobs of one queue that are out of the source, and not yet here."""

    queue: str
    asked: int  # jobs in all, also those that were not there
    under_way: dict[int, _UnderWay]  # by their places among those
    began: float
    stays: dict[int, str]  # why jobs are left, by their places


class Carrying:
    """Carries jobs from a source to a destination: taken first, then sent. Loads may overtake each other nowhere."""

    def __init__(
        self, source: Source, destination: Destination, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Both are open."""
        self._source = source
        self._destination = destination
        self._clock = clock

    async def carry(self, queue: str, pairs: Sequence[tuple[FoundJob, Intent]]) -> list[Outcome]:
        """Move jobs of one queue; return what became of each.

        BrokerError when the source or a carrier does not answer: what is under way then stays in the ledger.
        """
        return await self.send(await self.take(queue, pairs))

    async def take(self, queue: str, pairs: Sequence[tuple[FoundJob, Intent]]) -> Load:
        """Take jobs of one queue out of the source. BrokerError: what was taken stays in the ledger."""
        began = self._clock()
        under_way: dict[int, _UnderWay] = {}
        stays: dict[int, str] = {}
        left = list(range(len(pairs)))
        for salt in range(_SALTS):
            wanted = [self._wanted(*pairs[n], salt) for n in left]
            taken = await self._source.take(queue, wanted)
            missed: list[int] = []
            for n, one, answer in zip(left, wanted, taken, strict=True):
                match answer:
                    case None:
                        missed.append(n)
                    case Stays(why=why):
                        stays[n] = why
                    case Taken():
                        under_way[n] = _UnderWay(one.entry_id, one.job.source_id, answer.lives, pairs[n][1])
            left = await self._namesakes(queue, missed, pairs, salt)
            if not left:
                break
        return Load(queue, len(pairs), under_way, began, stays)

    async def send(self, load: Load) -> list[Outcome]:
        """Enqueue what was taken and mark it; return what became of each. BrokerError: it stays in the ledger."""
        outcomes = [Outcome(None, load.stays.get(n, "")) for n in range(load.asked)]
        sent = await self._send(load.queue, list(load.under_way.values()), load.began)
        for n, outcome in zip(load.under_way, sent, strict=True):
            outcomes[n] = outcome
        return outcomes

    def _wanted(self, job: FoundJob, intent: Intent, salt: int) -> Wanted:
        return Wanted(job, entry_id(self._source, job, salt), encode_intent(intent), intent.digest)

    async def _namesakes(
        self, queue: str, missed: Sequence[int], pairs: Sequence[tuple[FoundJob, Intent]], salt: int
    ) -> list[int]:
        """Return those that were not taken because another job has the same name in the ledger."""
        if not missed:
            return []
        names = [entry_id(self._source, pairs[n][0], salt) for n in missed]
        entries = await self._source.find(queue, names)
        return [
            n
            for n, entry in zip(missed, entries, strict=True)
            if entry is not None and entry.source_id != pairs[n][0].source_id
        ]

    async def _send(self, queue: str, under_way: Sequence[_UnderWay], began: float) -> list[Outcome]:
        outcomes = [GONE] * len(under_way)
        by_carrier: dict[str, list[int]] = {}
        for n, one in enumerate(under_way):
            by_carrier.setdefault(one.intent.carrier, []).append(n)
        for carrier, numbers in by_carrier.items():
            mine = await self._still_mine(queue, under_way, numbers, began)
            jobs = {n: under_way[n].intent.as_job(under_way[n].entry_id, under_way[n].lives) for n in mine}
            answers = await self._destination.enqueue(carrier, list(jobs.values()))
            accepted: list[tuple[str, str]] = []
            backs: dict[int, Back] = {}
            for n, job in jobs.items():
                one, answer = under_way[n], answers[job.id]
                if isinstance(answer, Enqueued):
                    note = Sent(carrier, one.intent.attempt, answer.duplicate_of or "")
                    accepted.append((one.entry_id, encode_note(note)))
                    outcomes[n] = MOVED
                else:
                    backs[n] = Back(one.entry_id, one.source_id, Status.REFUSED, answer)
            await self._source.mark(queue, [one for one, _ in accepted], [note for _, note in accepted])
            done = await self._source.put_back(queue, list(backs.values())) if backs else []
            for (n, back), is_back in zip(backs.items(), done, strict=True):
                outcomes[n] = Outcome(Status.REFUSED, back.note) if is_back else GONE
        return outcomes

    async def _still_mine(
        self, queue: str, under_way: Sequence[_UnderWay], numbers: Sequence[int], began: float
    ) -> list[int]:
        """Leave out what somebody else has gone on with: this process was frozen, or the carrier slow."""
        if self._clock() - began < _HELD_S:
            return list(numbers)
        ids = [under_way[n].entry_id for n in numbers]
        kept = await self._source.adopt(queue, ids, older_than_ms=STALE_MS)
        return [n for n, mine in zip(numbers, kept, strict=True) if mine]

    async def finish(self, queue: str) -> Finished:
        """Go on with what others have begun on this queue and left; errors as `carry`."""
        total = Finished()
        after: int | None = 0
        while after is not None:
            page = await self._source.entries(queue, status=Status.TAKEN, after=after)
            jobs = [one for one in page.entries if not one.schedule]
            total = _sum(total, await self._finish(queue, jobs))
            after = page.after
        return total

    async def _finish(self, queue: str, entries: Sequence[Entry]) -> Finished:
        if not entries:
            return Finished()
        began = self._clock()
        now_ms = await self._source.now_ms()
        adopted = await self._source.adopt(queue, [one.entry_id for one in entries], older_than_ms=STALE_MS)
        mine = [one for one, is_mine in zip(entries, adopted, strict=True) if is_mine]
        intents = {one.entry_id: decode_intent(one.intent) for one in mine}
        for intent in intents.values():
            if not self._destination.serves(intent.carrier):
                msg = (
                    f"jobs on their way to carrier {intent.carrier!r} wait in the ledger, and the app has none of that "
                    "name any more: put it back into the settings, then the same command goes on"
                )
                raise ConfigError(msg)
        doubtful = [one for one in mine if await self._is_doubtful(one, intents[one.entry_id], now_ms)]
        sure = [one for one in mine if one not in doubtful]
        under_way = [_UnderWay(one.entry_id, one.source_id, one.lives, intents[one.entry_id]) for one in sure]
        outcomes = await self._send(queue, under_way, began)
        return Finished(
            moved=sum(one.status is Status.ENQUEUED for one in outcomes),
            refused=sum(one.status is Status.REFUSED for one in outcomes),
            young=len(entries) - len(mine),
            doubtful=tuple(doubtful),
        )

    async def _is_doubtful(self, entry: Entry, intent: Intent, now_ms: int) -> bool:
        """Tell whether the job may have been enqueued, run and forgotten before its entry was marked."""
        age_ms = now_ms - entry.since_ms
        if age_ms < _DOUBTFUL_MS or not await self._destination.may_have_dropped(intent.carrier, age_ms):
            return False
        job = intent.as_job(entry.entry_id, entry.lives)
        return job.id not in await self._destination.locate({intent.carrier: [job.id]})


def _sum(one: Finished, other: Finished) -> Finished:
    return Finished(
        one.moved + other.moved,
        one.refused + other.refused,
        one.young + other.young,
        (*one.doubtful, *other.doubtful),
    )
