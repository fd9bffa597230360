"""Repeating entries, as far as BullMQ and Bull are alike: keys by their next fire times, and one job for each.

The worker that starts that job makes the next one. So an entry is taken with its job while that waits for its time:
then no worker is about to make another.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.migrate.found import FoundSchedule
from headway.migrate.ledger import head_of_schedule
from headway.migrate.source import Taken
from headway.migrate.sources.bulls.entries import ENTRY_FIELDS, SCALE, Repeating, next_of_interval
from headway.migrate.sources.bulls.reading import (
    UnreadableError,
    attempts_of,
    back_off_of,
    read_jobs,
    shown,
    whole,
)
from headway.migrate.sources.bulls.scripts import SHARED, load_script
from headway.schedules.cron import ScheduleError
from headway.schedules.schedule import Cron

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.migrate.server import SourceServer
    from headway.migrate.source import WantedSchedule
    from headway.migrate.sources.bulls.entries import Terms
    from headway.migrate.sources.bulls.keys import Keys

_PAGE: Final = 20
_MAX_BYTES: Final = 65536  # of the data of one
_BROKEN_MS: Final = 60_000  # so long after its time a job that is missing will not come any more
_RUNS: Final = "runs"
_ELSEWHERE: Final = "elsewhere"


class _Token(Struct, array_like=True, frozen=True):
    key: str
    score: str
    seal: str
    job_id: str
    due: str
    job_seal: str


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Token).decode


async def read_all(
    server: SourceServer, keys: Keys, job_ids: Callable[[str, str, Mapping[str, str]], Sequence[str]]
) -> list[Repeating]:
    """Read all entries of a queue. `job_ids` makes the ids that the job of a key and a time may have."""
    script = load_script(SHARED, "repeat_read")
    found: list[Repeating] = []
    first = 0
    while True:
        rows = await server.run(script, [keys.ledger, keys.head], [first, _PAGE])
        for row in rows:
            key, score, seal, *values = [shown(word) for word in row]
            one = Repeating(key, score, seal, dict(zip(ENTRY_FIELDS, values, strict=True)))
            found.append(await _with_job(server, keys, one, job_ids(key, score, one.fields)))
        if len(rows) < _PAGE:
            return sorted(found, key=lambda one: one.key)
        first += _PAGE


async def _with_job(server: SourceServer, keys: Keys, one: Repeating, job_ids: Sequence[str]) -> Repeating:
    if not job_ids:
        return one
    places = await server.run(load_script(SHARED, "repeat_jobs"), [keys.ledger, keys.head], job_ids)
    for job_id, place in zip(job_ids, (shown(place) for place in places), strict=True):
        if not place:
            continue
        async for batch in read_jobs(server, keys, [(job_id.encode(), b"")], _MAX_BYTES):
            for _, raw in batch:
                if raw is not None:
                    due = "" if place in {_RUNS, _ELSEWHERE} else place
                    return msgspec.structs.replace(one, job=raw, due=due, runs=place == _RUNS)
    return one


def found_schedule(
    queue: str, one: Repeating, read: Callable[[Repeating], Terms], now_ms: int, *, atomic: bool
) -> FoundSchedule:
    """Make a schedule of an entry; `read` says when it fires.

    `atomic`: the library changes the entry and makes its next job in one step.
    """
    refusal = _not_now(one, now_ms, atomic=atomic)
    try:
        terms = read(one)
        attempts, back_off = attempts_of(terms.options), back_off_of(terms.options)
        priority = whole(terms.options.get("priority") or 0, "priority")
    except UnreadableError as error:
        name = one.fields["name"]
        return FoundSchedule(
            source_id=one.key, queue=queue, name="" if name.startswith("\0") else name, refusal=str(error)
        )
    refusal = refusal or _in_local_time(one, terms)
    next_ms = int(float(one.due)) // SCALE if one.due else None
    if next_ms is None and terms.every_ms:
        next_ms = next_of_interval(one.fires_ms, terms.every_ms, now_ms)
    if (
        next_ms is None and terms.cron and not refusal
    ):  # the fire of the last time is with the job that is due
        next_ms = _next_of_pattern(terms, max(one.fires_ms, now_ms, (terms.start_ms or 1) - 1))
    return FoundSchedule(
        source_id=one.key,
        queue=queue,
        name=terms.name,
        cron=terms.cron,
        timezone=terms.timezone or "UTC",
        every_ms=terms.every_ms,
        offset_ms=(next_ms or 0) % terms.every_ms if terms.every_ms else 0,
        next_ms=next_ms,
        start_ms=terms.start_ms,
        end_ms=terms.end_ms,
        limit=terms.limit,
        fired=terms.fired,
        args=terms.args,
        priority=priority,
        attempts_allowed=attempts,
        back_off=back_off,
        refusal=refusal,
        token=_ENCODE(
            _Token(
                one.key,
                one.score,
                one.seal,
                "" if one.job is None else one.job.job_id,
                one.due,
                "" if one.job is None else one.job.seal,
            )
        ),
    )


def _not_now(one: Repeating, now_ms: int, *, atomic: bool) -> str:
    if one.runs and not atomic:
        return "the job of its last fire is about to be run, and makes the next one: look again in a moment"
    if one.job is None and not atomic and now_ms - one.fires_ms < _BROKEN_MS:
        return "the job of its next fire is not there: a worker makes it, or died doing so; look again in a minute"
    return ""


def _next_of_pattern(terms: Terms, after_ms: int) -> int | None:
    try:
        cron = Cron(terms.cron, terms.timezone or "UTC")
        return int(cron.next_after(datetime.fromtimestamp(after_ms / 1000, tz=UTC)).timestamp() * 1000)
    except (ScheduleError, ValueError, OverflowError):
        return None  # whoever makes a schedule of it says what is wrong


def _in_local_time(one: Repeating, terms: Terms) -> str:
    """Say so when a pattern has no zone, and the machine that worked out its next fire is not set to UTC."""
    if not terms.cron or terms.timezone:
        return ""
    try:
        fits = Cron(terms.cron).matches(datetime.fromtimestamp(one.fires_ms / 1000, tz=UTC))
    except (ScheduleError, ValueError, OverflowError):
        return ""  # whoever makes a schedule of it says what is wrong
    if fits:
        return ""
    return (
        "its pattern has no time zone, and its next fire is none in UTC: the workers have another zone. "
        "Give it a `tz` in the library first"
    )


async def take_entry(server: SourceServer, keys: Keys, taker: str, wanted: WantedSchedule) -> Taken | None:
    """Take an entry, and its job if that waits for its time."""
    if not wanted.schedule.token:
        return None
    token = _DECODE(wanted.schedule.token)
    lives = await server.run(
        load_script(SHARED, "take_repeatable"),
        [keys.ledger, keys.head],
        [
            taker,
            wanted.entry_id,
            head_of_schedule(wanted),
            wanted.intent,
            token.key,
            token.score,
            token.seal,
            token.job_id,
            token.due,
            token.job_seal,
        ],
    )
    return None if lives < 0 else Taken(wanted.entry_id, lives)
