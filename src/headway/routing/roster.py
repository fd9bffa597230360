"""Which carriers an app has and had, kept in its control store: so that one cannot leave the settings unnoticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headway.brokers.base import ControlStore
    from headway.routing.routes import Route
    from headway.routing.table import RouteTable

CARRIERS: Final = "carriers"
"""The name of the document in the control store."""
_KEPT: Final = 16  # carriers that were there once
_FORMAT: Final = 1
_SEVERAL: Final = 2


class Gone(Struct, frozen=True):
    """A carrier that left the settings: its URL without secrets, and when that was noticed (epoch ms)."""

    url: str
    since_ms: int


class Roster(Struct, frozen=True):
    """The URLs without secrets of the carriers of the settings, by name, and those that left them."""

    carriers: dict[str, str] = {}
    gone: dict[str, Gone] = {}
    format: int = _FORMAT


_decoder: Final = msgspec.json.Decoder(Roster)


async def read_roster(control: ControlStore) -> tuple[Roster, int]:
    """Return what is kept, with its version; an empty one of version 0 where there is none yet. CodecError."""
    found = await control.read_control(CARRIERS)
    if found is None:
        return Roster(), 0
    try:
        roster = _decoder.decode(found.body)
    except msgspec.MsgspecError as error:
        msg = f"the stored list of carriers is damaged: {error}"
        raise CodecError(msg) from error
    if roster.format != _FORMAT:
        msg = f"the stored list of carriers has format {roster.format}, this Headway knows {_FORMAT}: upgrade it"
        raise CodecError(msg)
    return roster, found.version


async def keep_roster(control: ControlStore, urls: Mapping[str, str], now_ms: int) -> list[str]:
    """Keep which carriers the settings have now, if that is new; return the names of those that have just left them.

    `urls` are without secrets. Nothing is kept for an app that always had one carrier. BrokerError, CodecError.
    """
    roster, version = await read_roster(control)
    if not version and len(urls) < _SEVERAL:
        return []
    new = updated(roster, urls, now_ms)
    if new == roster:
        return []
    # Where another worker was first, that one has kept it and says so.
    if await control.write_control(CARRIERS, msgspec.json.encode(new), expected=version) is None:
        return []
    return [name for name in new.gone if name not in roster.gone]


def updated(roster: Roster, urls: Mapping[str, str], now_ms: int) -> Roster:
    """Return what is to be kept of carriers with these URLs. One that has another name now is still there."""
    left = {name: Gone(url, now_ms) for name, url in roster.carriers.items()} | roster.gone
    gone = {name: one for name, one in left.items() if name not in urls and one.url not in urls.values()}
    newest = sorted(gone.items(), key=lambda item: item[1].since_ms, reverse=True)[:_KEPT]
    return Roster(dict(urls), dict(newest))


def unknown_carriers(routes: Iterable[Route], carriers: Collection[str]) -> dict[str, list[str]]:
    """Return the carriers that these routes name and the settings do not have, each with the queues."""
    found: dict[str, list[str]] = {}
    for route in routes:
        for name in route.weights:
            if name not in carriers and route.queue not in found.get(name, ()):
                found.setdefault(name, []).append(route.queue)
    return found


def former_routes(table: RouteTable) -> list[Route]:
    """Return all earlier routes that a table has, by which jobs of before are found."""
    return [route for routes in table.former.values() for route in routes]
