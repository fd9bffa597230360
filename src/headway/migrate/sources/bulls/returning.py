"""Putting repeating entries back, with a job for the next fire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import Struct

from headway.migrate.ledger import letter_of
from headway.migrate.source import Status
from headway.migrate.sources.bulls.entries import SCALE, next_of_interval
from headway.migrate.sources.bulls.reading import UnreadableError, json_object, shown, whole
from headway.migrate.sources.bulls.scripts import SHARED, load_script
from headway.schedules.cron import ScheduleError
from headway.schedules.schedule import Cron

if TYPE_CHECKING:
    from headway.migrate.server import SourceServer
    from headway.migrate.source import Back
    from headway.migrate.sources.bulls.keys import Keys


class Held(Struct, frozen=True):
    """What the ledger holds of an entry: where it was, its hash, and its job."""

    key: str
    score: str
    job_id: str
    due: str
    fields: Mapping[str, str]
    job: Mapping[str, bytes]


async def held_entry(server: SourceServer, keys: Keys, entry_id: str) -> Held | None:
    """Return what the ledger holds of an entry that may go back."""
    found = await server.run(load_script(SHARED, "repeat_held"), [keys.ledger], [entry_id])
    if not found:
        return None
    packed, fields, job = found
    read: Any = msgspec.msgpack.decode(packed)
    place = cast("Mapping[str, Any]", read if isinstance(read, dict) else {})
    if not place.get("entry"):
        return None
    words = {name: str(place.get(name, "")) for name in ("key", "score", "id", "due")}
    return Held(
        key=words["key"],
        score=words["score"],
        job_id=words["id"],
        due=words["due"],
        fields={shown(name): shown(value) for name, value in zip(fields[::2], fields[1::2], strict=True)},
        job={shown(name): value for name, value in zip(job[::2], job[1::2], strict=True)},
    )


async def return_entry(
    server: SourceServer,
    keys: Keys,
    taker: str,
    back: Back,
    held: Held,
    *,
    fires_ms: int,
    job_id: str,
    changed: Mapping[str, str | bytes],
) -> bool:
    """Put an entry back, with its job under an id for that time; `changed` are fields of the job."""
    same = held.due and job_id == held.job_id
    due = held.due if same else str(fires_ms * SCALE)
    score = held.score if same else str(fires_ms)
    words = [word for pair in changed.items() for word in pair]
    done = await server.run(
        load_script(SHARED, "put_back_repeatable"),
        [keys.ledger, keys.head],
        [taker, back.entry_id, letter_of(back.status), back.note, score, job_id, due, *words],
    )
    return bool(done)


def job_fields(
    held: Held, *, fires_ms: int, now_ms: int, job_id: str, options: Mapping[str, Any]
) -> dict[str, str | bytes]:
    """Return the fields of the job for another time than that of the job that was taken, whose `options` these are."""
    delay = max(0, fires_ms - now_ms)
    new = {**options, "jobId": job_id, "delay": delay, "timestamp": now_ms, "prevMillis": fires_ms}
    return {
        "opts": json.dumps(new, separators=(",", ":"), ensure_ascii=False),
        "timestamp": str(now_ms),
        "delay": str(delay),
        "priority": str(whole(options.get("priority") or 0, "priority")),
        **({} if held.due else {"name": held.job.get("name", b""), "data": held.job.get("data", b"{}")}),
    }


def options_held(held: Held) -> Mapping[str, Any] | None:
    """Return the options of the job that the ledger holds; None when there is none, or they cannot be read."""
    given = held.job.get("opts")
    if given is None:
        return None
    try:
        return json_object(given, "options")
    except UnreadableError:
        return None


def next_fire(held: Held, back: Back, next_ms: int | None, now_ms: int) -> int:
    """Return when an entry that comes back fires next: as asked, else as it would have, else by its own rule.

    One that was moved and comes back by hand has been fired for meanwhile, as far as its time has passed.
    """
    if next_ms is not None:
        return next_ms
    taken_ms = int(float(held.score))
    if held.due and (taken_ms > now_ms or back.status is Status.REFUSED):
        return taken_ms
    repeat: Any = (options_held(held) or {}).get("repeat")
    rule: Mapping[str, Any] = {**(repeat if isinstance(repeat, dict) else {}), **held.fields}
    if every := rule.get("every"):
        return next_of_interval(taken_ms, whole(every, "interval"), now_ms)
    try:
        cron = Cron(str(rule.get("pattern") or rule.get("cron") or ""), timezone=str(rule.get("tz") or "UTC"))
        found = cron.next_after(datetime.fromtimestamp(now_ms / 1000, tz=UTC))
    except ScheduleError:
        return max(taken_ms, now_ms)
    return int(found.timestamp() * 1000)
