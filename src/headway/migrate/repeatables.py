"""Repeating entries of a source become schedules made at run time, with their next fire time, and go back.

Such an entry leaves its source in one step, with the job of its next fire. From then on nothing fires there; then the
schedule is put here, to fire at that very time. So no fire is lost: one that comes meanwhile is caught up with. None
comes from both: whoever is killed in between leaves an entry that is TAKEN, and the schedule is put again, by its name.
"""

from __future__ import annotations

import re
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from headway.clock import from_ms, to_ms
from headway.codec import decode_call
from headway.errors import HeadwayError
from headway.job import Fire
from headway.migrate.carrying import STALE_MS
from headway.migrate.deciding import Intent
from headway.migrate.found import FoundJob, FoundState
from headway.migrate.ids import schedule_entry_id
from headway.migrate.source import Back, Status, WantedSchedule
from headway.names import MAX_NAME
from headway.schedules.schedule import Cron, Every, ScheduleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.app.app import Headway
    from headway.migrate.deciding import Deciding
    from headway.migrate.found import FoundSchedule
    from headway.migrate.source import Entry, Source

_NO_NAME: Final = re.compile(r"[,{}\x00-\x1f\x7f\ud800-\udfff]")
_MOST_FIRES: Final = 10_000  # of an entry with a number of fires: its last one is worked out


class ScheduleIntent(Struct, frozen=True, array_like=True):
    """What is to be made of a repeating entry; kept in the ledger until that has happened."""

    name: str
    task: str
    payload: bytes
    queue: str | None = None
    priority: int | None = None
    cron: str = ""
    timezone: str = "UTC"
    every_ms: int = 0
    first_ms: int | None = None
    until_ms: int | None = None


class Line(Struct, frozen=True):
    """What becomes of one repeating entry. `outcome` is `moved`, `left`, `refused`, `gone`, `reverted` or `stays`."""

    queue: str
    source_id: str
    name: str
    outcome: str
    schedule: str = ""  # ours
    next_ms: int | None = None
    why: str = ""


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(ScheduleIntent).decode


class Repeatables:
    """Brings the repeating entries of a source along, and back."""

    def __init__(self, source: Source, deciding: Deciding, app: Headway) -> None:
        """All are open."""
        self._source = source
        self._deciding = deciding
        self._app = app

    async def bring(self, queues: Sequence[str], *, dry_run: bool = False) -> list[Line]:
        """Move them; errors as `Carrying.carry`, and the same call goes on where this one ended."""
        lines: list[Line] = []
        for queue in queues:
            if not dry_run:
                lines += await self._finish(queue)
            for one in await self._source.repeatables(queue):
                decided = self._decide(one)
                if isinstance(decided, Line) or dry_run:
                    name = "" if isinstance(decided, Line) else decided.name
                    lines.append(decided if isinstance(decided, Line) else _line(one, "moved", schedule=name))
                else:
                    lines.append(await self._move(queue, one, decided))
        return lines

    def _decide(self, one: FoundSchedule) -> ScheduleIntent | Line:
        job = FoundJob(
            source_id=one.source_id,
            queue=one.queue,
            state=FoundState.WAITING,
            name=one.name,
            args=one.args,
            kwargs=one.kwargs,
            priority=one.priority,
            refusal=one.refusal,
        )
        decided = self._deciding.decide(job)
        if not isinstance(decided, Intent):
            outcome = "left" if type(decided).__name__ == "Left" else "refused"
            return _line(one, outcome, why=decided.why)
        try:
            schedule = _schedule(one)
            until_ms = _until(one, schedule)
        except (ScheduleError, ValueError, OverflowError) as error:
            return _line(one, "refused", why=str(error))
        declared = self._app.find_task(decided.task).options_declared
        return ScheduleIntent(
            name=_name(one),
            task=decided.task,
            payload=decided.payload,
            queue=None if decided.queue == declared.queue else decided.queue,
            priority=None if decided.priority == declared.priority else decided.priority,
            cron=one.cron,
            timezone=one.timezone,
            every_ms=one.every_ms,
            first_ms=one.next_ms or one.start_ms,
            until_ms=until_ms,
        )

    async def _move(self, queue: str, one: FoundSchedule, intent: ScheduleIntent) -> Line:
        entry_id = schedule_entry_id(self._source, one)
        taken = await self._source.take_repeatable(queue, WantedSchedule(one, entry_id, _ENCODE(intent)))
        if taken is None:
            return _line(one, "gone", why="it changed, or was moved, since it was read")
        why = await self._put(queue, entry_id, one.source_id, intent)
        return _line(one, "refused" if why else "moved", schedule="" if why else intent.name, why=why)

    async def _put(self, queue: str, entry_id: str, source_id: str, intent: ScheduleIntent) -> str:
        """Make the schedule and mark its entry; return why not, and then it is back."""
        try:
            task = self._app.find_task(intent.task)
            args, kwargs = task.signature.decode(*decode_call(intent.payload))
            job = task.options(queue=intent.queue, priority=intent.priority).job(*args, **kwargs)
            times: dict[str, Any] = (
                {"cron": intent.cron, "timezone": intent.timezone}
                if intent.cron
                else {"every": timedelta(milliseconds=intent.every_ms)}
            )
            if intent.first_ms is not None:
                times["first_fire"] = from_ms(intent.first_ms)
            if intent.until_ms is not None:
                times["until"] = from_ms(intent.until_ms)
            await self._app.schedules.put(intent.name, job, **times)
        except ConnectionError:
            raise
        except HeadwayError as error:
            back = Back(entry_id, source_id, Status.REFUSED, str(error))
            await self._source.put_back_repeatable(queue, back)
            return str(error)
        await self._source.mark(queue, [entry_id], [intent.name])
        return ""

    async def _finish(self, queue: str) -> list[Line]:
        lines: list[Line] = []
        after: int | None = 0
        while after is not None:
            page = await self._source.entries(queue, status=Status.TAKEN, after=after)
            for entry in page.entries:
                if entry.schedule:
                    lines += await self._finish_one(queue, entry)
            after = page.after
        return lines

    async def _finish_one(self, queue: str, entry: Entry) -> list[Line]:
        (mine,) = await self._source.adopt(queue, [entry.entry_id], older_than_ms=STALE_MS)
        if not mine:
            return []
        intent = _DECODE(entry.intent)
        why = await self._put(queue, entry.entry_id, entry.source_id, intent)
        outcome = "refused" if why else "moved"
        return [Line(queue, entry.source_id, entry.name, outcome, intent.name, intent.first_ms, why)]

    async def revert(self, queues: Sequence[str], *, dry_run: bool = False) -> list[Line]:
        """Put them back, to fire next at the first time that has not been fired here."""
        lines: list[Line] = []
        for queue in queues:
            after: int | None = 0
            while after is not None:
                page = await self._source.entries(queue, status=Status.ENQUEUED, after=after)
                lines += [
                    await self._revert_one(queue, entry, dry_run=dry_run)
                    for entry in page.entries
                    if entry.schedule
                ]
                after = page.after
        return lines

    async def verify(self, queues: Sequence[str]) -> list[Line]:
        """Return those that are not as they should be: on their way, or moved and not here."""
        lines: list[Line] = []
        here = {one.name for one in await self._app.schedules.list() if one.made}
        for queue in queues:
            after: int | None = 0
            while after is not None:
                page = await self._source.entries(queue, after=after)
                for entry in page.entries:
                    if not entry.schedule:
                        continue
                    if entry.status is Status.TAKEN:
                        lines.append(Line(queue, entry.source_id, entry.name, "under way"))
                    elif entry.status is Status.ENQUEUED and entry.note not in here:
                        why = "it was moved, and there is no such schedule here: was it deleted?"
                        lines.append(
                            Line(queue, entry.source_id, entry.name, "missing", entry.note, None, why)
                        )
                after = page.after
        return lines

    async def _revert_one(self, queue: str, entry: Entry, *, dry_run: bool) -> Line:
        name = entry.note
        info = await self._app.schedules.find(name)
        next_ms = None if info is None or info.next_fire is None else to_ms(info.next_fire)
        if not dry_run:
            if info is not None and info.made:
                await self._app.schedules.delete(name)
            if await self._fired_since(name, next_ms):
                next_ms = None  # the source works out the one after it
            back = Back(entry.entry_id, entry.source_id, Status.REVERTED, "by hand")
            if not await self._source.put_back_repeatable(queue, back, next_ms=next_ms):
                why = "the source has an entry of that id by now: it stays there, and none is left here"
                return Line(queue, entry.source_id, entry.name, "stays", name, next_ms, why)
        return Line(queue, entry.source_id, entry.name, "reverted", name, next_ms)

    async def _fired_since(self, name: str, next_ms: int | None) -> bool:
        """Tell whether a fire was made while its schedule was deleted; from now on none is, up to this instant."""
        rows = await self._app.carrier.made_schedules()
        last_ms = next((one.last_fire_ms for one in rows if one.name == name), None)
        await self._app.carrier.skip_fire(Fire(name, self._app.clock.now_ms()))
        return last_ms is not None and next_ms is not None and last_ms >= next_ms


def _line(one: FoundSchedule, outcome: str, *, schedule: str = "", why: str = "") -> Line:
    return Line(one.queue, one.source_id, one.name, outcome, schedule, one.next_ms, why)


def _schedule(one: FoundSchedule) -> Cron | Every:
    if one.cron:
        return Cron(one.cron, one.timezone)
    return Every(timedelta(milliseconds=one.every_ms), from_ms(one.next_ms or one.offset_ms))


def _until(one: FoundSchedule, schedule: Cron | Every) -> int | None:
    """Return the instant after which nothing is fired; of one with a number of fires that of the last one."""
    if one.limit is None:
        return one.end_ms
    left = one.limit - one.fired
    if not 0 < left <= _MOST_FIRES or one.next_ms is None:
        msg = f"it is to be fired {left} times more, and that cannot be kept here: at most {_MOST_FIRES}"
        raise ValueError(msg)
    fire = from_ms(one.next_ms)
    for _ in range(left - 1):
        fire = schedule.next_after(fire)
    last_ms = to_ms(fire)
    return last_ms if one.end_ms is None else min(last_ms, one.end_ms)


def _name(one: FoundSchedule) -> str:
    text = f"{one.queue}:{one.source_id}"
    plain = _NO_NAME.sub("_", text).strip() or "_"
    if plain == text and len(text) <= MAX_NAME:
        return text
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=6).hexdigest()
    return f"{plain[: MAX_NAME - 13]}-{digest}"
