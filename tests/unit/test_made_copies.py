"""Schedules made at run time over several carriers: copies that agree again, whatever was away when something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.brokers.base import MadeSchedule
from headway.errors import BrokerUnavailableError, UnsupportedError
from headway.routing.carriers.made import MadeSchedules
from headway.routing.carriers.sides import Sides

if TYPE_CHECKING:
    from headway.brokers.base import Store


class Side:
    """A carrier that keeps schedules, is away, or cannot keep any."""

    def __init__(self, *, able: bool = True) -> None:
        self.kept: dict[str, MadeSchedule] = {}
        self.away = False
        self.able = able
        self.writes = 0

    def _meet(self) -> None:
        if self.away:
            msg = "cut"
            raise BrokerUnavailableError(msg)

    async def made_schedules(self) -> list[MadeSchedule]:
        self._meet()
        return list(self.kept.values())

    async def write_schedule(self, made: MadeSchedule, *, expected: int) -> bool:
        self._meet()
        if not self.able:
            msg = "without a guard"
            raise UnsupportedError(msg)
        there = self.kept.get(made.name)
        if there is not None and (there.revision, there.body) == (made.revision, made.body):
            return True
        if (0 if there is None else there.revision) != expected:
            return False
        self.kept[made.name] = made
        self.writes += 1
        return True


def over(*sides: Side) -> MadeSchedules:
    return MadeSchedules(Sides(cast("dict[str, Store]", {f"c{n}": side for n, side in enumerate(sides)})))


def made(revision: int, body: bytes = b"x", name: str = "s", last: int | None = None) -> MadeSchedule:
    return MadeSchedule(name, revision, body, last)


async def test_a_carrier_that_was_away_learns_of_changes_and_deletions() -> None:
    first, second = Side(), Side()
    both = over(first, second)
    assert await both.write(made(1), 0)
    second.away = True
    assert await both.write(made(2, b"y"), 1)
    assert await both.write(made(5, name="other"), 0)
    second.away = False
    assert [one.revision for one in await both.read()] == [5, 2]
    assert second.kept == first.kept
    second.away = True
    assert await both.write(made(3, b""), 2)
    first.away, second.away = True, False
    assert [one.revision for one in await both.read()] == [5, 2]  # nobody who knows better is there
    first.away = False
    assert [one.deleted for one in await both.read()] == [False, True]
    assert second.kept["s"].deleted
    writes = first.writes, second.writes
    await both.read()
    assert (first.writes, second.writes) == writes


async def test_none_is_lost_when_the_app_leaves_its_first_carrier() -> None:
    first, second = Side(), Side()
    await over(first, second).write(made(1), 0)
    assert [one.name for one in await over(second).read()] == ["s"]
    fresh = Side()
    assert [one.name for one in await over(fresh, second).read()] == [
        "s"
    ]  # an empty one in front deletes nothing
    assert fresh.kept == second.kept


async def test_the_last_fire_is_that_of_any() -> None:
    first, second = Side(), Side()
    first.kept["s"], second.kept["s"] = made(2, last=50), made(1, b"old", last=70)
    [one] = await over(first, second).read()
    assert (one.revision, one.body, one.last_fire_ms) == (2, b"x", 70)


async def test_a_carrier_that_keeps_none_is_left_alone_and_all_away_is_an_error() -> None:
    unable, able = Side(able=False), Side()
    both = over(unable, able)
    assert await both.write(made(1), 0)
    for _ in range(2):
        assert [one.name for one in await both.read()] == ["s"]
    with pytest.raises(UnsupportedError, match="no carrier of this app"):
        await over(unable).write(made(1), 0)
    unable.away = able.away = True
    with pytest.raises(BrokerUnavailableError):
        await both.read()
    with pytest.raises(BrokerUnavailableError):
        await both.write(made(2), 1)


steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),  # the schedule
        st.sets(st.integers(0, 2), max_size=2),  # who is away: one of three is there
        st.booleans(),  # deleted
        st.booleans(),  # written with the revision of the writer's last look, which may be old
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=200)
@given(steps)
async def test_copies_agree_again_and_every_acknowledged_change_counts_or_was_followed_by_a_later_one(
    history: list[tuple[str, set[int], bool, bool]],
) -> None:
    sides = [Side(), Side(), Side()]
    all_of = over(*sides)
    acknowledged: dict[str, int] = {}
    looked: dict[str, int] = {}
    for clock, (name, away, deleted, stale) in enumerate(history, 1):
        for n, side in enumerate(sides):
            side.away = n in away
        if not stale:
            looked = {one.name: one.revision for one in await all_of.read()}
        before = looked.get(name, 0)
        new: Any = made(max(clock, before + 1), b"" if deleted else b"%d" % clock, name)
        if await all_of.write(new, before):
            acknowledged[name] = max(new.revision, acknowledged.get(name, 0))
    for side in sides:
        side.away = False
    await all_of.read()
    assert sides[0].kept == sides[1].kept == sides[2].kept
    assert {name: one.revision for name, one in sides[0].kept.items()} == acknowledged
    before_reading = [side.writes for side in sides]
    await all_of.read()
    assert [side.writes for side in sides] == before_reading
