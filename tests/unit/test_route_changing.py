"""Routes that are changed on a control store: nobody's change is lost, none follows before the last one has settled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import pytest

from headway.brokers.base import BrokerSettings
from headway.brokers.sqlite.broker import SqliteBroker
from headway.errors import BrokerUnavailableError, CodecError, ConfigError
from headway.routing.changing import (
    RoutesBusyError,
    change_routes,
    control_of,
    read_routes,
    routes_history,
)
from headway.routing.declared import Declared
from headway.routing.following import ROUTES, SETTLING
from headway.routing.routes import route_of
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.brokers.base import ControlStore
    from headway.routing.changing import Change, Edit, StoredRoutes
    from headway.routing.table import RouteTable

KNOWN = Declared(("main", "push"), {"email": route_of("email", {"push": 100})})
SETTLING_MS = round(SETTLING * 1000)


class Store:
    """A control store with a clock of its own; who waits moves that clock."""

    def __init__(self, control: ControlStore, clock: FakeClock) -> None:
        self.control = control
        self.clock = clock
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(round(seconds * 1000))

    async def change(self, edit: Edit, control: ControlStore | None = None) -> Change:
        ours = FakeClock(5)  # far off: the store's counts
        return await change_routes(control or self.control, edit, ours, sleep=self.sleep)


def to(queue: str, who: str = "ann", **weights: int) -> Edit:
    def edit(table: RouteTable, now_ms: int) -> RouteTable:
        after = KNOWN.route(table, queue).changed(weights)
        return table.changed({queue: after}, who=who, when_ms=now_ms, why="", unrouted=KNOWN.unrouted)

    return edit


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    clock = FakeClock()
    async with SqliteBroker(f"sqlite:///{tmp_path}/c.db", BrokerSettings("shop"), clock=clock) as broker:
        yield Store(control_of({"push": broker}), clock)


async def test_the_first_change_waits_for_nothing_and_has_our_instant(store: Store) -> None:
    change = await store.change(to("reports", main=75, push=25))
    assert (change.before.version, change.after.version, change.made) == (0, 1, True)
    assert store.waits == []
    assert change.after.when_ms == 5
    stored = await read_routes(store.control, store.clock)
    assert (stored.table, stored.version, stored.unsettled) == (change.after, 1, SETTLING)
    assert stored.table.former["reports"] == (KNOWN.unrouted("reports"),)


async def test_a_change_follows_when_the_last_one_has_settled_and_has_the_instant_of_the_store(
    store: Store,
) -> None:
    await store.change(to("reports", push=100))
    written = store.clock.now_ms()
    store.clock.advance(1000)
    change = await store.change(to("email", main=100))
    assert store.waits == [SETTLING - 1]
    assert change.after.when_ms == written + SETTLING_MS
    store.clock.advance(SETTLING_MS)
    await store.change(to("email", push=100))
    assert len(store.waits) == 1


async def test_nothing_to_change_waits_for_nothing(store: Store) -> None:
    first = await store.change(to("reports", push=100))
    again = await store.change(lambda table, _: table)
    assert (again.made, again.after.version, store.waits) == (False, first.after.version, [])


async def test_of_two_at_once_the_second_changes_what_the_first_made(store: Store) -> None:
    changes = await asyncio.gather(
        store.change(to("reports", who="ann", push=100)), store.change(to("email", who="bob", main=100))
    )
    assert sorted(change.after.version for change in changes) == [1, 2]
    stored = await read_routes(store.control, store.clock)
    assert {queue: route.weights for queue, route in stored.table.routes.items()} == {
        "email": {"main": 100},
        "reports": {"push": 100},
    }
    assert [table.version for table in await routes_history(store.control)] == [2, 1]


async def test_what_the_edit_raises_leaves_the_routes_alone(store: Store) -> None:
    def refuse(table: RouteTable, now_ms: int) -> RouteTable:
        raise ConfigError(table.version, now_ms)

    with pytest.raises(ConfigError):
        await store.change(refuse)
    assert (await read_routes(store.control, store.clock)).version == 0


async def test_who_waits_is_told_once_a_version(store: Store) -> None:
    told: list[StoredRoutes] = []
    await store.change(to("reports", push=100))

    async def half(seconds: float) -> None:
        await store.sleep(max(0.001, seconds / 2) if seconds > 0.1 else seconds)

    await change_routes(store.control, to("email", main=100), store.clock, on_wait=told.append, sleep=half)
    assert [(one.version, one.unsettled) for one in told] == [(1, SETTLING)]
    assert len(store.waits) > 2


class Flaky:
    """Loses the answer of the next write, which was made or not."""

    def __init__(self, control: ControlStore, *, made: bool) -> None:
        self._control = control
        self._made = made

    async def write_control(self, name: str, body: bytes, *, expected: int, fence: object = None) -> None:
        del fence
        if self._made:
            await self._control.write_control(name, body, expected=expected)
        msg = "gone"
        raise BrokerUnavailableError(msg)

    def __getattr__(self, name: str) -> object:
        return getattr(self._control, name)


async def test_a_lost_answer_is_looked_up(store: Store) -> None:
    change = await store.change(
        to("reports", push=100), cast("ControlStore", Flaky(store.control, made=True))
    )
    assert (change.after.version, (await read_routes(store.control, store.clock)).version) == (1, 1)
    store.clock.advance(SETTLING_MS)
    with pytest.raises(BrokerUnavailableError):
        await store.change(to("email", main=100), cast("ControlStore", Flaky(store.control, made=False)))
    assert (await read_routes(store.control, store.clock)).version == 1


async def test_under_a_lease_only_its_holder_changes_routes(store: Store) -> None:
    fence = await store.control.hold_control("rollouts", "me", 1000)
    assert fence is not None
    change = await change_routes(store.control, to("reports", push=100), store.clock, fence=fence)
    assert change.after.version == 1
    store.clock.advance(SETTLING_MS)
    await store.control.hold_control("rollouts", "another", 60_000)
    with pytest.raises(RoutesBusyError, match="'rollouts' is somebody else's"):
        await change_routes(store.control, to("email", main=100), store.clock, fence=fence)
    assert (await read_routes(store.control, store.clock)).version == 1


async def test_others_who_never_stop_are_given_up_on(store: Store) -> None:
    async def beaten(seconds: float) -> None:
        await store.sleep(seconds)
        version = (await read_routes(store.control, store.clock)).version
        found = await store.control.read_control(ROUTES)
        assert found is not None
        await store.control.write_control(ROUTES, found.body, expected=version)

    await store.change(to("reports", push=100))
    with pytest.raises(RoutesBusyError, match="all the time"):
        await change_routes(store.control, to("email", main=100), store.clock, sleep=beaten)


async def test_routes_of_a_later_headway_are_not_written_over(store: Store) -> None:
    await store.control.write_control(ROUTES, b'{"format": 99}', expected=0)
    with pytest.raises(CodecError):
        await store.change(to("reports", push=100))
    found = await store.control.read_control(ROUTES)
    assert found is not None
    assert found.version == 1


async def test_more_than_a_document_holds_is_refused_in_words(store: Store) -> None:
    def too_many(table: RouteTable, now_ms: int) -> RouteTable:
        routes = {
            f"queue-{n:0200}": route_of(f"queue-{n:0200}", {"main": 50, "push": 50}) for n in range(1500)
        }
        return table.changed(routes, who="", when_ms=now_ms, why="")

    with pytest.raises(ConfigError, match="route fewer queues"):
        await store.change(too_many)


async def test_carriers_none_of_which_keeps_routes(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(
            SqliteBroker(f"sqlite:///{tmp_path}/c.db", BrokerSettings("shop"))
        )
        assert control_of({"main": broker}) is broker.capabilities.control
    with pytest.raises(ConfigError, match=r"needs a redis:// or a sqlite://"):
        control_of({})
