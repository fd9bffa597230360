"""Random histories, told to a guard store and to a dict: after each step both must hold the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.guards.base import Entry
from tests.integration.guard_places import KINDS, shared_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headway.guards.base import GuardStore
    from tests.integration.guard_places import Place

KEYS = ("a", "b", "c")
GROUPS = ("mail", "re/port", ":keys")
TAGS = ("running", "done")

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("insert", "insert", "swap", "swap", "swap", "repeat", "stale", "delete", "prune", "wait")
        ),
        st.sampled_from(KEYS),
        st.sampled_from(GROUPS),
        st.sampled_from(TAGS),
        st.sampled_from((None, None, 1, 5, 20)),  # forget so much later
        st.binary(max_size=4),
    ),
    min_size=20,  # short ones show little
    max_size=60,
)
picks = st.tuples(
    st.none() | st.lists(st.sampled_from(GROUPS), unique=True),
    st.none() | st.lists(st.sampled_from(TAGS), unique=True),
    st.integers(1, 6),
)


class History:
    """What a store must know. It may forget what is due at any time: of that, nothing is asked of it."""

    def __init__(self, store: GuardStore) -> None:
        self.store = store
        self.entries: dict[str, Entry] = {}
        self.now = 1000

    def alive(self, key: str) -> Entry | None:
        there = self.entries.get(key)
        return (
            there if there is not None and (there.forget_ms is None or there.forget_ms > self.now) else None
        )

    async def step(  # noqa: C901 - a table of acts
        self, act: str, key: str, group: str, tag: str, forget: int | None, data: bytes
    ) -> None:
        there = self.alive(key)
        due = there is None and key in self.entries
        version = there.version if there else 1
        new = Entry(key, version, group, tag, self.now, None if forget is None else self.now + forget, data)
        match act:
            case "insert":
                new = msgspec.structs.replace(new, version=1)
                assert await self.store.insert(new, now_ms=self.now) == there
                if there is None:
                    self.entries[key] = new
            case "swap":
                new = msgspec.structs.replace(new, version=version + 1)
                assert await self.store.swap(new, now_ms=self.now) == (there is not None)
                if there is not None:
                    self.entries[key] = new
            case "repeat":
                if there is not None and version > 1:
                    assert await self.store.swap(there, now_ms=self.now)
            case "stale":
                # Of this very version, and different; or of one too far ahead.
                other = msgspec.structs.replace(new, data=data + b"!", version=version + (len(data) % 2) * 2)
                same = there is not None and msgspec.structs.replace(other, version=version) == there
                assert same or not await self.store.swap(other, now_ms=self.now)
            case "delete":
                gone = await self.store.delete(key, version)
                if not due:
                    assert gone == (there is not None)
                    self.entries.pop(key, None)
                elif gone:
                    del self.entries[key]
            case "prune":
                assert await self.store.prune(now_ms=self.now) <= len(self.entries) - len(self.all_alive())
                assert await self.store.prune(now_ms=self.now) == 0
            case _:
                self.now += 1 + len(data)

    def all_alive(self) -> list[Entry]:
        return [entry for key in sorted(self.entries) if (entry := self.alive(key)) is not None]

    async def check(self, groups: list[str] | None, tags: list[str] | None, limit: int) -> None:
        alive = self.all_alive()
        assert await self.store.read(KEYS, now_ms=self.now) == [self.alive(key) for key in KEYS]
        counts: dict[tuple[str, str], int] = {}
        for entry in alive:
            if not entry.group.startswith(":"):
                counts[entry.group, entry.tag] = counts.get((entry.group, entry.tag), 0) + 1
        assert await self.store.counts(now_ms=self.now) == counts
        found: list[Entry] = []
        after: str | None = None
        while True:
            page = await self.store.page(groups=groups, tags=tags, after=after, limit=limit, now_ms=self.now)
            found += page.entries
            after = page.cursor
            if after is None:
                break
        assert found == [
            entry
            for entry in reversed(alive)
            if (not entry.group.startswith(":") if groups is None else entry.group in groups)
            and (tags is None or entry.tag in tags)
        ]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Place:
    return shared_place(request.param, namespace, tmp_path, request)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=steps, pick=picks)
def test_the_store_holds_what_a_dict_would(
    place: Place, runner: asyncio.Runner, history: list[tuple[Any, ...]], pick: tuple[Any, ...]
) -> None:
    async def live() -> None:
        async with place.open(uuid4().hex) as store:
            told = History(store)
            for step in history:
                await told.step(*step)
                await told.check(*pick)

    runner.run(live())
