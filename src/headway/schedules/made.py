"""What a schedule that was made at run time consists of, how it is stored, and when it fires. Pure.

A declared schedule stands in the code. One made at run time has to carry all that the code would say: when, which
task, with which arguments. It is stored as MessagePack; fields that a later version adds are passed over by this one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.clock import from_ms
from headway.errors import CodecError
from headway.schedules.schedule import ON_TIME, CatchUp, Cron, Every, Schedule, due_fires

if TYPE_CHECKING:
    from datetime import datetime

MAX_STORED: Final = 64 * 1024
"""Bytes of a stored definition: every scheduler reads all of them at each look."""


class Definition(Struct, frozen=True, omit_defaults=True):
    """A schedule made at run time. Instants and durations are whole milliseconds, since 1970 UTC.

    Either `cron` (in `timezone`) or `every_ms`, counted from `anchor_ms`. `since_ms`: fire times up to it are not owed.
    `first_ms` is the first fire time, whether it is one of the schedule or not; `until_ms` the last instant at which
    it may fire. `call` is the envelope of the arguments, headers and time limit; `expires_ms` counts from
    when a job of it is made.
    """

    task: str
    call: bytes
    since_ms: int
    cron: str = ""
    timezone: str = "UTC"
    every_ms: int = 0
    anchor_ms: int = 0
    first_ms: int | None = None
    until_ms: int | None = None
    catch_up: CatchUp = CatchUp.LAST
    paused: bool = False
    queue: str | None = None
    priority: int | None = None
    expires_ms: int | None = None

    @property
    def schedule(self) -> Schedule:
        """When it fires, but for its first and last time; ScheduleError when that cannot be."""
        if self.cron:
            return Cron(self.cron, self.timezone)
        return Every(timedelta(milliseconds=self.every_ms), from_ms(self.anchor_ms))

    @property
    def spec(self) -> str:
        """As it is shown in lists."""
        return (
            f"{self.cron} ({self.timezone})"
            if self.cron
            else f"every {timedelta(milliseconds=self.every_ms)}"
        )


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Definition).decode


def encode_definition(definition: Definition) -> bytes:
    """Return it as carriers store it."""
    return _encode(definition)


def decode_definition(body: bytes) -> Definition:
    """Read a stored one; CodecError when it is damaged, or of a kind that this version does not know."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        msg = f"its stored definition is damaged, or was written by a newer Headway: {error}"
        raise CodecError(msg) from error


def owed(definition: Definition, last_fire_ms: int | None, now: datetime, *, limit: int) -> list[datetime]:
    """Return the fire times to enqueue now, oldest first, by the rules of declared schedules (`due_fires`).

    `last_fire_ms` is the last one accepted. A first fire time that lies between two of the schedule's own is one more.
    """
    schedule, policy = definition.schedule, definition.catch_up
    base = dealt_with(definition, last_fire_ms)
    upto = now if definition.until_ms is None else min(now, from_ms(definition.until_ms))
    first = None if definition.first_ms is None else from_ms(definition.first_ms)
    fires: list[datetime]
    if first is None or first <= base:
        fires = due_fires(schedule, base, upto, policy, limit=limit)
    elif first > upto:
        fires = []
    else:
        fires = [first, *due_fires(schedule, first, upto, CatchUp.ALL, limit=limit)]
        fires = fires[-limit:] if policy is CatchUp.ALL else fires[-1:]
    if policy is CatchUp.SKIP:  # also of one that ended a while ago
        fires = [fire for fire in fires if fire > now - ON_TIME]
    return fires


def next_fire(definition: Definition, last_fire_ms: int | None, now: datetime) -> datetime | None:
    """Return the first fire time later than `now` that is not dealt with; None when there is none any more.

    ScheduleError past the end of the calendar.
    """
    after = max(now, dealt_with(definition, last_fire_ms))
    following = None if definition.first_ms is None else from_ms(definition.first_ms)
    if following is None or following <= after:
        following = definition.schedule.next_after(after)
    if definition.until_ms is not None and following > from_ms(definition.until_ms):
        return None
    return following


def dealt_with(definition: Definition, last_fire_ms: int | None) -> datetime:
    """Return the instant up to which nothing is owed."""
    since = definition.since_ms
    return from_ms(since if last_fire_ms is None else max(since, last_fire_ms))
