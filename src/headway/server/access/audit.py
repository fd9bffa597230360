"""The audit log: who changed what, and what was there before and after."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import insert, select

from headway.app.batching import Batcher
from headway.clock import from_ms
from headway.server.instants import Instant
from headway.server.store.database import StoreError
from headway.server.store.tables import AUDIT
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.clock import Clock
    from headway.server.access.caller import Caller
    from headway.server.store.database import Database

_log: Final = logging.getLogger("headway.audit")
_MOST_TEXT: Final = 20_000  # characters of what is kept of before and after


class AuditEntry(Struct, frozen=True):
    """One change."""

    number: int
    at: Instant
    who: str
    address: str
    act: str  # such as `jobs.cancel`
    subject: str  # such as `job 01k...`
    before: Any
    after: Any


class AuditPage(Struct, frozen=True):
    """Entries, the latest first, and the number of the last one, behind which the next page begins."""

    entries: list[AuditEntry]
    cursor: str | None = None


class Audit:
    """Writes the log, and reads it. Changes that are made at once are written together.

    A change that was made and cannot be written down stays made: then the entry goes to the log of the process, as an
    error, and `trouble` says so until a later one could be written.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        """For the running event loop."""
        self._database = database
        self._clock = clock
        self._batcher: Batcher[dict[str, Any], None] = Batcher(self._write, parallel=1)
        self.trouble = ""

    async def note(
        self, caller: Caller, act: str, subject: str, *, before: object = None, after: object = None
    ) -> None:
        """Write down one change; returns when it is kept, or was logged instead."""
        row = {
            "app": self._database.app,
            "at_ms": self._clock.now_ms(),
            "who": storable(caller.who, 200),
            "address": storable(caller.address, 64),
            "act": act,
            "subject": storable(subject, 300),
            "before": _text(before),
            "after": _text(after),
        }
        try:
            await self._batcher.add(row)
        except StoreError as error:
            self.trouble = str(error)
            _log.error("not kept, as %s: %s", error, msgspec.json.encode(row).decode())
        else:
            self.trouble = ""

    async def read(
        self, *, after: str | None, limit: int, who: str | None, act: str | None, subject: str | None
    ) -> AuditPage:
        """Return entries, the latest first; ValueError when `after` is no cursor of this list."""
        query = select(AUDIT).where(AUDIT.c.app == self._database.app)
        if after is not None:
            if not (after.isascii() and after.isdecimal() and len(after) < 19):  # noqa: PLR2004 - of 64 bits
                msg = f"{after[:60]!r} is no cursor of the audit log"
                raise ValueError(msg)
            query = query.where(AUDIT.c.number < int(after))
        for column, value in ((AUDIT.c.who, who), (AUDIT.c.act, act), (AUDIT.c.subject, subject)):
            if value is not None:
                query = query.where(column == value)
        rows = await self._database.rows(query.order_by(AUDIT.c.number.desc()).limit(limit + 1))
        entries = [
            AuditEntry(
                row["number"],
                from_ms(row["at_ms"]),
                row["who"],
                row["address"],
                row["act"],
                row["subject"],
                _value(row["before"]),
                _value(row["after"]),
            )
            for row in rows[:limit]
        ]
        return AuditPage(entries, str(entries[-1].number) if len(rows) > limit else None)

    async def finish(self) -> None:
        """Wait until all is written."""
        await self._batcher.finish()

    async def _write(self, rows: Sequence[dict[str, Any]]) -> list[None]:
        await self._database.write(insert(AUDIT), list(rows))
        return [None] * len(rows)


def _text(value: object) -> str:
    text = msgspec.json.encode(value, enc_hook=str).decode()
    if len(text) > _MOST_TEXT:
        return msgspec.json.encode({"shortened": text[:_MOST_TEXT]}).decode()
    return text


def _value(text: str) -> Any:  # noqa: ANN401 - any value of JSON
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
