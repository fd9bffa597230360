"""Batches: what is asked in one loop turn travels in one call, in order, and every waiter gets an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.app.batching import _ENOUGH, Batcher
from headway.errors import BrokerRefusedError, BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Store:
    """Answers with the double; keeps the calls; can be held back."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.failing = False
        self.under_way = 0
        self.most = 0

    async def call(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.free.wait()
            if self.failing:
                msg = "no"
                raise OSError(msg)
            return [item * 2 for item in items]
        finally:
            self.under_way -= 1


async def test_what_is_asked_in_one_turn_is_one_call() -> None:
    store = Store()
    batcher = Batcher(store.call)
    assert await asyncio.gather(*(batcher.add(n) for n in range(100))) == [n * 2 for n in range(100)]
    assert store.calls == [list(range(100))]
    assert batcher.idle


async def test_a_lone_item_goes_at_once() -> None:
    store = Store()
    batcher = Batcher(store.call)
    assert [await batcher.add(1), await batcher.add(2)] == [2, 4]
    assert store.calls == [[1], [2]]


async def test_no_call_is_longer_than_the_limit() -> None:
    store = Store()
    batcher = Batcher(store.call, limit=10, parallel=1)
    assert await asyncio.gather(*(batcher.add(n) for n in range(25))) == [n * 2 for n in range(25)]
    assert [len(call) for call in store.calls] == [10, 10, 5]


async def test_what_comes_while_enough_calls_are_under_way_travels_together() -> None:
    store = Store()
    store.free.clear()
    batcher = Batcher(store.call, parallel=2)
    answers = []
    for n in range(6):
        answers.append(batcher.add(n))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert store.calls == [[0], [1]]
    store.free.set()
    assert await asyncio.gather(*answers) == [0, 2, 4, 6, 8, 10]
    assert store.calls == [[0], [1], [2, 3, 4, 5]]
    assert store.most == 2


async def test_an_error_reaches_every_waiter_of_its_call_and_no_other() -> None:
    store = Store()
    batcher = Batcher(store.call)
    store.failing = True
    failed = await asyncio.gather(*(batcher.add(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in failed] == [OSError] * 3
    store.failing = False
    assert await batcher.add(4) == 8


class Picky:
    """Refuses a call that has a bad item in it; keeps the calls."""

    def __init__(self, bad: set[int], error: Exception) -> None:
        self.calls: list[list[int]] = []
        self.bad = bad
        self.error = error

    async def call(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        await asyncio.sleep(0)
        if self.bad & set(items):
            raise self.error
        return [item * 2 for item in items]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.integers(0, 99), max_size=30), st.integers(1, 100))
async def test_what_is_wrong_is_refused_alone(bad: set[int], count: int) -> None:
    picky = Picky(bad, BrokerRefusedError("no"))
    batcher = Batcher(picky.call)
    answers = await asyncio.gather(*(batcher.add(n) for n in range(count)), return_exceptions=True)
    if len(bad & set(range(count))) < count:
        assert [isinstance(answer, Exception) for answer in answers] == [n in bad for n in range(count)]
    assert batcher.idle


async def test_a_carrier_that_takes_nothing_is_not_asked_for_each() -> None:
    """A full disk: it is not the items."""
    picky = Picky(set(range(1000)), BrokerRefusedError("full"))
    batcher = Batcher(picky.call)
    answers = await asyncio.gather(*(batcher.add(n) for n in range(1000)), return_exceptions=True)
    assert all(isinstance(answer, BrokerRefusedError) for answer in answers)
    assert len(picky.calls) < 50


async def test_a_call_that_may_have_been_applied_is_not_made_again() -> None:
    picky = Picky({1}, BrokerUnavailableError("away"))
    batcher = Batcher(picky.call)
    answers = await asyncio.gather(*(batcher.add(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [BrokerUnavailableError] * 3
    assert picky.calls == [[0, 1, 2]]


async def test_what_began_and_was_refused_is_sorted_out_as_well() -> None:
    picky, starter = Picky({3}, BrokerRefusedError("no")), Starter()
    batcher = Batcher(picky.call, begin=starter.begin)
    answers = [batcher.add(n) for n in range(_ENOUGH)]
    starter.begun[0].set_exception(BrokerRefusedError("no"))
    outcomes = await asyncio.gather(*answers, return_exceptions=True)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [n == 3 for n in range(_ENOUGH)]


async def test_a_waiter_that_gives_up_takes_nobody_with_it() -> None:
    store = Store()
    store.free.clear()
    batcher = Batcher(store.call)
    one, two = batcher.add(1), batcher.add(2)
    await asyncio.sleep(0)
    one.cancel()
    store.free.set()
    assert await two == 4
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_finish_waits_for_all_that_was_added() -> None:
    store = Store()
    batcher = Batcher(store.call, limit=2, parallel=1)
    answers = [batcher.add(n) for n in range(5)]
    assert [batcher.idle] == [False]
    await batcher.finish()
    assert [batcher.idle] == [True]
    assert [answer.result() for answer in answers] == [0, 2, 4, 6, 8]
    await batcher.finish()


async def test_a_submitted_lone_item_is_handed_over_by_its_caller_and_what_comes_meanwhile_together() -> None:
    store = Store()
    store.free.clear()
    batcher = Batcher(store.call)

    async def submit(n: int) -> int:
        return await batcher.submit(n)

    tasks = [asyncio.create_task(submit(n)) for n in range(4)]
    await asyncio.sleep(0)
    assert store.calls == [[0]]
    store.free.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
    assert store.calls == [[0], [1, 2, 3]]
    assert batcher.idle


async def test_a_submitted_item_that_fails_or_is_given_up_leaves_the_way_free() -> None:
    store = Store()
    store.failing = True
    batcher = Batcher(store.call)
    with pytest.raises(OSError, match="no"):
        await batcher.submit(1)
    store.failing = False
    store.free.clear()
    given_up = asyncio.ensure_future(batcher.submit(2))
    await asyncio.sleep(0)
    other = asyncio.ensure_future(batcher.submit(3))
    await asyncio.sleep(0)
    given_up.cancel()
    store.free.set()
    assert await other == 6
    await batcher.finish()
    assert batcher.idle


class Starter:
    """Starts calls at once; each future is in `begun`, to be answered by the test."""

    def __init__(self) -> None:
        self.items: list[list[int]] = []
        self.begun: list[asyncio.Future[list[int] | None]] = []
        self.can = True

    def begin(self, items: Sequence[int]) -> asyncio.Future[list[int] | None] | None:
        if not self.can:
            return None
        self.items.append(list(items))
        self.begun.append(asyncio.get_running_loop().create_future())
        return self.begun[-1]

    def answer(self, place: int) -> None:
        self.begun[place].set_result([item * 2 for item in self.items[place]])


async def test_of_many_items_some_leave_in_the_middle_of_the_turn() -> None:
    store, starter = Store(), Starter()
    batcher = Batcher(store.call, begin=starter.begin)
    answers = [batcher.add(n) for n in range(2 * _ENOUGH + 5)]
    assert starter.items == [list(range(_ENOUGH)), list(range(_ENOUGH, 2 * _ENOUGH))]
    assert store.calls == []
    starter.answer(1)
    starter.answer(0)
    assert await asyncio.gather(*answers) == [2 * n for n in range(2 * _ENOUGH + 5)]
    assert store.calls == [list(range(2 * _ENOUGH, 2 * _ENOUGH + 5))]
    assert batcher.idle


async def test_what_could_not_begin_is_called_for() -> None:
    store, starter = Store(), Starter()
    batcher = Batcher(store.call, begin=starter.begin)
    starter.can = False
    assert await asyncio.gather(*(batcher.add(n) for n in range(_ENOUGH + 1))) == [
        2 * n for n in range(_ENOUGH + 1)
    ]
    assert store.calls == [list(range(_ENOUGH + 1))]
    starter.can = True
    later = [batcher.add(n) for n in range(_ENOUGH)]
    starter.begun[0].set_result(None)
    assert await asyncio.gather(*later) == [2 * n for n in range(_ENOUGH)]
    assert store.calls[1:] == [list(range(_ENOUGH))]


async def test_what_began_counts_as_a_call_under_way() -> None:
    store, starter = Store(), Starter()
    batcher = Batcher(store.call, begin=starter.begin, parallel=3)
    answers = [batcher.add(n) for n in range(5 * _ENOUGH)]
    assert len(starter.begun) == 2  # the third is that of the turn's end
    finishing = asyncio.create_task(batcher.finish())
    await asyncio.sleep(0)
    assert not batcher.idle
    starter.answer(0)
    starter.answer(1)
    await finishing
    assert [answer.result() for answer in answers] == [2 * n for n in range(5 * _ENOUGH)]


async def test_a_call_that_began_and_failed_fails_its_items_alone() -> None:
    store, starter = Store(), Starter()
    batcher = Batcher(store.call, begin=starter.begin)
    answers = [batcher.add(n) for n in range(_ENOUGH + 1)]
    answers[0].cancel()
    starter.begun[0].set_exception(BrokerUnavailableError("away"))
    outcomes = await asyncio.gather(*answers[1:], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BrokerUnavailableError] * (_ENOUGH - 1) + [int]
    assert answers[0].cancelled()


async def test_a_lone_item_begins_and_whoever_gives_it_up_leaves_the_way_free() -> None:
    store, starter = Store(), Starter()
    batcher = Batcher(store.call, begin=starter.begin)
    lone = asyncio.ensure_future(batcher.submit(1))
    await asyncio.sleep(0)
    assert starter.items == [[1]]
    starter.answer(0)
    assert await lone == 2
    unusual = asyncio.ensure_future(batcher.submit(2))
    await asyncio.sleep(0)
    starter.begun[1].set_result(None)
    assert await unusual == 4
    assert store.calls == [[2]]
    given_up = asyncio.ensure_future(batcher.submit(3))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert batcher.idle


async def test_a_call_that_is_cancelled_before_it_began_leaves_the_way_free() -> None:
    store = Store()
    batcher = Batcher(store.call)
    before = asyncio.all_tasks()
    lost = batcher.add(1)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await asyncio.sleep(0)
    later = batcher.add(2)
    async with asyncio.timeout(5):
        assert [await lost, await later] == [2, 4]


async def test_what_cannot_even_be_asked_to_begin_is_called_for() -> None:
    store = Store()

    def begin(_: Sequence[int]) -> None:
        msg = "no"
        raise OSError(msg)

    batcher = Batcher(store.call, begin=begin)
    answers = [batcher.add(n) for n in range(_ENOUGH + 1)]
    assert await asyncio.gather(*answers) == [2 * n for n in range(_ENOUGH + 1)]
    assert len(store.calls) == 1
