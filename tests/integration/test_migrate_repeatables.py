"""Repeating entries become schedules made at run time, with their next fire time, and go back with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec import structs

from headway import Headway
from headway.migrate.deciding import Deciding
from headway.migrate.found import FoundSchedule, FoundState
from headway.migrate.mapfile import parse_map
from headway.migrate.repeatables import Repeatables
from headway.migrate.source import Back, Entry, EntryPage, Status, Taken, WantedSchedule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headway.migrate.source import Source

_NEXT_MS = 4102444800000  # 2100-01-01T00:00:00Z


class Entries:
    """As much of a source as repeating entries need; its ledger is in memory."""

    kind = "bullmq"
    identity = "bull"

    def __init__(self, *found: FoundSchedule) -> None:
        self.found = {one.source_id: one for one in found}
        self.ledger: dict[str, Entry] = {}
        self.back: list[tuple[str, int | None]] = []

    async def repeatables(self, queue: str) -> list[FoundSchedule]:
        return [one for one in self.found.values() if one.queue == queue]

    async def take_repeatable(self, queue: str, wanted: WantedSchedule) -> Taken | None:
        one = self.found.pop(wanted.schedule.source_id, None)
        if one is None:
            return None
        self.ledger[wanted.entry_id] = Entry(
            entry_id=wanted.entry_id,
            number=len(self.ledger) + 1,
            source_id=one.source_id,
            queue=queue,
            name=one.name,
            state=FoundState.DELAYED,
            status=Status.TAKEN,
            since_ms=0,
            intent=wanted.intent,
            schedule=True,
        )
        return Taken(wanted.entry_id)

    async def mark(self, queue: str, entry_ids: Sequence[str], notes: Sequence[str]) -> None:
        assert queue
        for entry_id, note in zip(entry_ids, notes, strict=True):
            self._becomes(entry_id, Status.ENQUEUED, note)

    async def put_back_repeatable(self, queue: str, back: Back, *, next_ms: int | None = None) -> bool:
        assert queue
        self.back.append((back.source_id, next_ms))
        self._becomes(back.entry_id, back.status, back.note)
        return True

    async def entries(
        self, queue: str, *, status: Status | None = None, after: int = 0, limit: int = 200
    ) -> EntryPage:
        assert (after, limit) == (0, 200)
        found = [one for one in self.ledger.values() if one.queue == queue]
        return EntryPage(tuple(one for one in found if status in {None, one.status}))

    async def adopt(self, queue: str, entry_ids: Sequence[str], *, older_than_ms: int) -> list[bool]:
        assert queue
        assert older_than_ms
        return [True for _ in entry_ids]

    def _becomes(self, entry_id: str, status: Status, note: str) -> None:
        self.ledger[entry_id] = structs.replace(self.ledger[entry_id], status=status, note=note)


def _app(folder: Path) -> Headway:
    app = Headway("fires", url=f"sqlite:///{folder / 'jobs.db'}")

    @app.task(name="nightly")
    async def nightly(kind: str = "") -> None: ...

    return app


def _found(source_id: str, **changes: Any) -> FoundSchedule:
    one = FoundSchedule(
        source_id=source_id, queue="reports", name="nightly", args=({"kind": "é"},), next_ms=_NEXT_MS
    )
    return structs.replace(one, **changes)


def _repeatables(source: Entries, app: Headway) -> Repeatables:
    rules = {"job": [{"name": "nightly", "task": "nightly", "arguments": "fields"}]}
    return Repeatables(cast("Source", source), Deciding(app, parse_map(rules)), app)


async def test_they_come_with_their_next_fire_time_and_go_back_with_it(tmp_path: Path) -> None:
    source = Entries(
        _found("cron", cron="0 3 * * *", timezone="Europe/Berlin", next_ms=_NEXT_MS + 2 * 3_600_000),
        _found("every", every_ms=90_000),
        _found("three more", every_ms=60_000, limit=5, fired=2),
        _found("half a second", every_ms=500),
        _found("never", cron="0 0 31 2 *"),
        _found("unmapped", name="other", every_ms=60_000),
        _found("broken", refusal="its data is no JSON"),
    )
    app = _app(tmp_path)
    async with app:
        both = _repeatables(source, app)
        planned = {one.source_id: one.outcome for one in await both.bring(["reports"], dry_run=True)}
        lines = {one.source_id: one for one in await both.bring(["reports"])}
        assert {one: line.outcome for one, line in lines.items()} == planned == {
            "cron": "moved", "every": "moved", "three more": "moved", "half a second": "refused", "never": "refused",
            "unmapped": "left", "broken": "refused",
        }  # fmt: skip
        assert source.found.keys() == {"half a second", "never", "unmapped", "broken"}
        here = {one.name: one for one in await app.schedules.list()}
        assert here.keys() == {"reports:cron", "reports:every", "reports:three more"}
        assert here["reports:every"].next_fire == datetime(2100, 1, 1, tzinfo=UTC)
        assert here["reports:every"].kwargs == {"kind": "é"}
        assert here["reports:cron"].next_fire == datetime(2100, 1, 1, 2, tzinfo=UTC)
        assert here["reports:three more"].until == datetime(2100, 1, 1, 0, 2, tzinfo=UTC)
        assert await both.verify(["reports"]) == []
        assert {one.outcome for one in await both.revert(["reports"])} == {"reverted"}
        assert await app.schedules.list() == []
        assert sorted(source.back) == [
            ("cron", _NEXT_MS + 2 * 3_600_000),
            ("every", _NEXT_MS),
            ("three more", _NEXT_MS),
        ]


async def test_what_was_interrupted_is_finished(tmp_path: Path) -> None:
    source = Entries(_found("every", every_ms=60_000))
    app = _app(tmp_path)
    async with app:
        both = _repeatables(source, app)

        async def dies(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "mark", dies)
            with pytest.raises(KeyboardInterrupt):
                await both.bring(["reports"])
        assert [one.outcome for one in await both.verify(["reports"])] == ["under way"]
        (line,) = await both.bring(["reports"])
        assert (line.outcome, line.schedule) == ("moved", "reports:every")
        assert [one.name for one in await app.schedules.list()] == ["reports:every"]
        await app.schedules.delete("reports:every")
        assert [one.outcome for one in await both.verify(["reports"])] == ["missing"]
