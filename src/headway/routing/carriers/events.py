"""What happens on several carriers, as one stream."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from headway.events import Event
    from headway.routing.carriers.sides import Sides

_HELD = 1000  # events that wait for whoever reads; then the carriers are read no further


def events(sides: Sides, after: str | None) -> AsyncIterator[Event]:
    """Yield the events of all carriers, from this call on; each cursor has the place in every one of them.

    A carrier without events is passed over. The first error of one ends the stream, as it does with one carrier.
    """
    places = _places(after)
    names = _told_by(sides)
    # Asked now, not at the first item: from this call on.
    ends = {name: asyncio.ensure_future(sides[name].events_end()) for name in names if name not in places}
    return _joint(sides, names, places, ends)


async def events_end(sides: Sides) -> str:
    """Return the cursor behind the last events of all carriers."""
    names = _told_by(sides)
    ends = await asyncio.gather(*(sides[name].events_end() for name in names))
    return _cursor(dict(zip(names, ends, strict=True)))


async def events_kept(sides: Sides, after: str) -> bool:
    """Tell whether every event behind the cursor is still kept on each carrier; not of one that it does not know."""
    places, names = _places(after), _told_by(sides)
    kept = await asyncio.gather(*(sides[name].events_kept(places[name]) for name in names if name in places))
    return all(kept) and set(names) <= places.keys()


def _told_by(sides: Sides) -> list[str]:
    return [name for name in sides.names if sides[name].capabilities.events]


async def _joint(
    sides: Sides, names: list[str], places: dict[str, str], ends: Mapping[str, asyncio.Future[str]]
) -> AsyncIterator[Event]:
    places |= {name: await end for name, end in ends.items()}
    streams = {name: sides[name].events(places[name]) for name in names}
    waiting: asyncio.Queue[tuple[str, Event | BaseException]] = asyncio.Queue(_HELD)

    async def follow(name: str) -> None:
        try:
            async for event in streams[name]:
                await waiting.put((name, event))
        except Exception as error:  # noqa: BLE001 - handed to whoever reads
            await waiting.put((name, error))

    followers = [asyncio.create_task(follow(name)) for name in streams]
    try:
        while True:
            name, event = await waiting.get()
            if isinstance(event, BaseException):
                raise event
            places[name] = event.cursor
            yield replace(event, cursor=_cursor(places))
    finally:
        for follower in followers:
            follower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*followers, return_exceptions=True)


def _cursor(places: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(places)).decode()


def _places(cursor: str | None) -> dict[str, str]:
    if cursor is None:
        return {}
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor.encode()), type=dict[str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        msg = f"{cursor[:60]!r} is not a cursor of this app's events; begin again without one"
        raise ConfigError(msg) from error
