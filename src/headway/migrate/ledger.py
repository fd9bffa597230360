"""The ledger of a source, as it lies in its Redis: read, and what is done to its entries alone.

What moves a job and an entry together is the script of a source, which includes `lua/ledger.lua`; there the keys are
described.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec import Struct

from headway.migrate.found import FoundState
from headway.migrate.scripts import load_script
from headway.migrate.source import Entry, EntryPage, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.server import SourceServer
    from headway.migrate.source import Wanted, WantedSchedule

BATCH: Final = 25  # entries in one script call: half a millisecond
_MARKED: Final = 50  # entries that are marked in one: a millisecond
_LETTERS: Final = {
    Status.TAKEN: "T",
    Status.ENQUEUED: "E",
    Status.REFUSED: "F",
    Status.REVERTED: "V",
}
_STATUSES: Final = {letter.encode(): status for status, letter in _LETTERS.items()}
_ROW: Final = 5  # parts


class _Head(Struct, array_like=True, frozen=True):
    """What never changes of an entry."""

    entry_id: str
    source_id: str
    name: str
    instant_ms: int
    digest: str = ""
    schedule: bool = False


_DECODE_HEAD: Final = msgspec.msgpack.Decoder(_Head).decode
_ENCODE: Final = msgspec.msgpack.Encoder().encode


def letter_of(status: Status) -> str:
    """Return how a status is written in the ledger."""
    return _LETTERS[status]


def head_of(wanted: Wanted) -> bytes:
    """Encode what the ledger keeps of a job beside its state; for the source's script."""
    job = wanted.job
    return _ENCODE(_Head(wanted.entry_id, job.source_id, job.name, job.instant_ms, wanted.digest))


def head_of_schedule(wanted: WantedSchedule) -> bytes:
    """Encode what the ledger keeps of a repeating entry."""
    one = wanted.schedule
    return _ENCODE(_Head(wanted.entry_id, one.source_id, one.name, 0, schedule=True))


class Ledger:
    """The ledgers of a source's queues."""

    def __init__(self, server: SourceServer, held: Sequence[str] = ()) -> None:
        """`held` are the suffixes of what the source's scripts keep of a job below `ledger_held`."""
        self._server = server
        self._held = " ".join(held)

    async def counts(self, base: str) -> Mapping[tuple[FoundState, Status], int]:
        """Return how many entries there are by the state that they had, and their status."""
        rows = await self._server.command("HGETALL", f"{base}:counts")
        found: dict[tuple[FoundState, Status], int] = {}
        for key, count in zip(rows[::2], rows[1::2], strict=True):
            state, _, letter = cast("bytes", key).rpartition(b"|")
            if number := int(count):
                found[FoundState(state.decode()), _STATUSES[letter]] = number
        return found

    async def entries(
        self, base: str, queue: str, *, status: Status | None, after: int, limit: int
    ) -> EntryPage:
        """Return entries by their numbers."""
        if status is Status.TAKEN:
            return await self._open(base, queue, after, limit)
        last = int(await self._server.command("GET", f"{base}:n") or 0)
        until = min(last, after + limit)
        if until <= after:
            return EntryPage(())
        found = await self._read(base, queue, [str(n) for n in range(after + 1, until + 1)])
        wanted = tuple(one for one in found if status is None or one.status is status)
        return EntryPage(wanted, until if until < last else None)

    async def find(self, base: str, queue: str, entry_ids: Sequence[str]) -> list[Entry | None]:
        """Return the entries by their ids; None: there is none."""
        if not entry_ids:
            return []
        numbers = await self._server.command("HMGET", f"{base}:ids", *entry_ids)
        known = [cast("bytes", number).decode() for number in numbers if number is not None]
        found = {one.entry_id: one for one in await self._read(base, queue, known)}
        return [found.get(one) for one in entry_ids]

    async def adopt(self, base: str, taker: str, entry_ids: Sequence[str], older_than_ms: int) -> list[bool]:
        """Make taken entries those of this taker, where they are or have not been touched for so long."""
        script = load_script("headway.migrate", "adopt")
        adopted: list[bool] = []
        for first in range(0, len(entry_ids), BATCH):
            words: list[str | int | bytes] = [taker, older_than_ms, *entry_ids[first : first + BATCH]]
            adopted += [bool(one) for one in await self._server.run(script, [base], words)]
        return adopted

    async def mark(self, base: str, entry_ids: Sequence[str], notes: Sequence[str]) -> None:
        """Make entries that are taken enqueued."""
        script = load_script("headway.migrate", "mark")
        pairs = list(zip(entry_ids, notes, strict=True))
        for first in range(0, len(pairs), _MARKED):
            await self._server.run(
                script, [base], [word for pair in pairs[first : first + _MARKED] for word in pair]
            )

    async def forget(self, base: str, entry_ids: Sequence[str]) -> None:
        """Drop entries that are not taken."""
        script = load_script("headway.migrate", "forget")
        for first in range(0, len(entry_ids), BATCH):
            await self._server.run(script, [base], [self._held, *entry_ids[first : first + BATCH]])

    async def _open(self, base: str, queue: str, after: int, limit: int) -> EntryPage:
        """Return the taken ones behind `after`, all of them looked at: at a time there are few."""
        numbers = sorted(int(n) for n in await self._server.command("ZRANGE", f"{base}:open", 0, -1))
        chosen = [n for n in numbers if n > after]
        page = chosen[:limit]
        found = await self._read(base, queue, [str(n) for n in page])
        taken = tuple(one for one in found if one.status is Status.TAKEN)
        return EntryPage(taken, page[-1] if len(chosen) > limit else None)

    async def _read(self, base: str, queue: str, numbers: Sequence[str]) -> list[Entry]:
        if not numbers:
            return []
        columns = [
            await self._server.command("HMGET", f"{base}:{part}", *numbers)
            for part in ("heads", "rows", "notes", "intents")
        ]
        return [
            _entry(queue, int(number), head, row, note, intent)
            for number, head, row, note, intent in zip(numbers, *columns, strict=True)
            if head is not None and row is not None
        ]


def _entry(  # noqa: PLR0917 - the columns of one row
    queue: str, number: int, head: bytes, row: bytes, note: bytes | None, intent: bytes | None
) -> Entry:
    known = _DECODE_HEAD(head)
    status, since, lives, _, state = row.split(b"|", _ROW - 1)
    return Entry(
        entry_id=known.entry_id,
        number=number,
        source_id=known.source_id,
        queue=queue,
        name=known.name,
        state=FoundState(state.decode()),
        status=_STATUSES[status],
        since_ms=int(since),
        lives=int(lives),
        intent=intent or b"",
        digest=known.digest,
        note=(note or b"").decode(errors="replace"),
        instant_ms=known.instant_ms,
        schedule=known.schedule,
    )
