"""Changing the routes: read, decided, and written only if nobody else has changed them since.

A change counts from when the one before it has settled. Until then some producers may go by the routes of before that
one, and only one earlier table is known to all: a second change in the same seconds would leave three in use.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.errors import BrokerUnavailableError, ConfigError, HeadwayError
from headway.routing.following import ROUTES, SETTLING
from headway.routing.table import RouteTable
from headway.routing.tableformat import decode_table, encode_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from headway.brokers.base import ControlStore, Store
    from headway.clock import Clock
    from headway.control import Fence

    Edit = Callable[[RouteTable, int], RouteTable]

KEPT: Final = 100
"""Versions of the routes that can be gone back to."""
_TRIES: Final = 20  # times that somebody else was first, or that the last change had not settled


class RoutesBusyError(HeadwayError):
    """The routes were not changed: others change them all the time, or the lease to do so is somebody else's now."""


class StoredRoutes(NamedTuple):
    """The routes as they stand in the control store. `version` is 0 where there are none yet.

    `now_ms` is the present instant by the clock of the store, where it told one, else by ours; `unsettled` is in
    seconds: for how long yet some producers may go by the version before.
    """

    table: RouteTable
    version: int
    now_ms: int
    unsettled: float


class Change(NamedTuple):
    """Routes before and after; they are the same one when there was nothing to change."""

    before: RouteTable
    after: RouteTable

    @property
    def made(self) -> bool:
        """True when a version was written."""
        return self.before is not self.after


def control_carrier(carriers: Mapping[str, Store]) -> tuple[str, ControlStore] | None:
    """Return the first carrier that keeps control documents, with its name; None when none does."""
    for name, carrier in carriers.items():
        if carrier.capabilities.control is not None:
            return name, carrier.capabilities.control
    return None


def control_of(carriers: Mapping[str, Store]) -> ControlStore:
    """Return the control store of an app's carriers; ConfigError when none of them keeps control documents."""
    found = control_carrier(carriers)
    if found is None:
        msg = (
            f"none of the carriers {', '.join(carriers)} can keep routes: an app whose routes change while it runs "
            "needs a redis:// or a sqlite:// among them"
        )
        raise ConfigError(msg)
    return found[1]


async def read_routes(control: ControlStore, clock: Clock) -> StoredRoutes:
    """Read the present routes; BrokerError, or CodecError when they are damaged or a later Headway's."""
    found = await control.read_control(ROUTES)
    if found is None:
        return StoredRoutes(RouteTable(), 0, clock.now_ms(), 0.0)
    # The store counts the versions: where it was emptied or restored, the number in the text may be another one.
    table = replace(decode_table(found.body), version=found.version)
    unsettled = max(0.0, SETTLING - found.age_ms / 1000)
    return StoredRoutes(table, found.version, found.changed_ms + found.age_ms, unsettled)


async def routes_history(control: ControlStore, limit: int = KEPT) -> list[RouteTable]:
    """Return the last versions, the present one first; CodecError as `read_routes`."""
    return [
        replace(decode_table(one.body), version=one.version, when_ms=one.changed_ms)
        for one in await control.control_history(ROUTES, limit)
    ]


async def change_routes(
    control: ControlStore,
    edit: Edit,
    clock: Clock,
    *,
    on_wait: Callable[[StoredRoutes], None] | None = None,
    fence: Fence | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Change:
    """Write what `edit` makes of the present routes and the store's instant; of a lost race, of the newest ones anew.

    An `edit` that returns the very table that it was given changes nothing. What it raises passes through, and nothing
    is written then. `on_wait` is told when the change has to wait for the last one to settle. Under a `fence` only its
    holder may write. RoutesBusyError when somebody else was first again and again, or the fence is stale.
    """
    told = 0
    for _ in range(_TRIES):
        stored = await read_routes(control, clock)
        after = edit(stored.table, stored.now_ms)
        if after is stored.table:
            return Change(after, after)
        if stored.unsettled > 0:
            if on_wait is not None and told != stored.version:
                on_wait(stored)
            told = stored.version
            await sleep(stored.unsettled)
        elif await _written(control, after, stored.version, fence):
            return Change(stored.table, after)
        elif fence is not None and (await read_routes(control, clock)).version == stored.version:
            msg = f"the routes were not changed: the lease {fence.name!r} is somebody else's now"
            raise RoutesBusyError(msg)
    msg = "the routes were not changed: others change them all the time; look at their history first"
    raise RoutesBusyError(msg)


async def _written(control: ControlStore, table: RouteTable, expected: int, fence: Fence | None) -> bool:
    """Write the table if `expected` is still the present version; tell whether it was written."""
    try:
        body = encode_table(table)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        return await control.write_control(ROUTES, body, expected=expected, fence=fence) is not None
    except BrokerUnavailableError:
        # The answer is lost, maybe not the change: whoever asks again would find it made, and not know by whom.
        found = await control.read_control(ROUTES)
        if found is not None and found.version == expected + 1 and found.body == body:
            return True
        raise
