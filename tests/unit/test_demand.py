"""What a worker asks for: fair between queues, within limits, and no more in advance than pays."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.runtime.demand import Demand


def first_of(demand: Demand, rounds: int) -> Counter[str]:
    return Counter(demand.wants(1)[0].queue for _ in range(rounds))


def test_every_queue_comes_first_about_equally_often() -> None:
    counts = first_of(Demand(["a", "b", "c"], 10, rng=Random(1)), 3000)
    assert all(900 < counts[queue] < 1100 for queue in "abc")


def test_a_heavier_queue_comes_first_more_often_and_no_queue_starves() -> None:
    counts = first_of(Demand(["a", "b", "c"], 10, weights={"a": 8}, rng=Random(1)), 10_000)
    assert counts["a"] == pytest.approx(8000, rel=0.03)
    assert counts["b"] == pytest.approx(1000, rel=0.15)
    assert counts["c"] == pytest.approx(1000, rel=0.15)


def test_all_queues_are_wanted_each_time() -> None:
    demand = Demand(["a", "b", "c"], 10, weights={"b": 3})
    assert sorted(want.queue for want in demand.wants(7)) == ["a", "b", "c"]
    assert {want.limit for want in demand.wants(7)} == {7}


def test_nothing_is_held_in_advance_before_the_first_job_has_ended() -> None:
    demand = Demand(["a"], 20)
    assert (demand.prefetch, demand.room()) == (0, 20)


def test_short_jobs_are_held_in_advance_and_one_long_job_ends_that() -> None:
    demand = Demand(["a"], 20)
    demand.claimed(20, 20)
    for n in range(2000):
        demand.ended(0.0005, n * 0.0001)
    assert demand.prefetch > 100
    demand.ended(60, 0.2)
    assert demand.prefetch == 0


def test_nothing_is_held_in_advance_where_there_is_no_backlog() -> None:
    """Each job beyond the places would wait here while another worker idles."""
    demand = Demand(["a"], 20)
    for n in range(2000):
        demand.ended(0.0005, n * 0.0001)
    assert (demand.prefetch, demand.room()) == (0, 20)
    demand.claimed(20, 20)
    assert demand.prefetch > 100
    demand.claimed(demand.room(), 3)
    assert (demand.prefetch, demand.room()) == (0, 20)


def test_short_jobs_that_share_one_processor_are_not_held_in_advance() -> None:
    demand = Demand(["a"], 20)
    demand.claimed(20, 20)
    for n in range(1000):
        demand.ended(0.01, n * 0.01)
    assert demand.prefetch <= 2


def test_a_pause_ends_holding_in_advance_as_soon_as_jobs_end_again() -> None:
    demand = Demand(["a"], 20)
    demand.claimed(20, 20)
    for n in range(2000):
        demand.ended(0.0001, n * 0.0001)
    demand.ended(0.0001, 60)
    assert demand.prefetch <= 120


def test_a_lone_place_is_not_worth_a_call_while_jobs_are_short() -> None:
    demand = Demand(["a"], 10)
    demand.claimed(10, 10)
    for n in range(2000):
        demand.ended(0.0001, n * 0.0001)
    while demand.held < demand.concurrency + demand.prefetch:
        demand.take("a")
    assert demand.held > 10
    demand.give("a")
    assert demand.room() == 0
    slow = Demand(["a"], 2)
    slow.ended(10, 10)
    slow.take("a")
    assert slow.room() == 1


def test_the_limit_of_a_queue_holds() -> None:
    demand = Demand(["a", "b"], 10, limits={"a": 2})
    assert {want.queue: want.limit for want in demand.wants(10)} == {"a": 2, "b": 10}
    demand.take("a")
    assert {want.queue: want.limit for want in demand.wants(9)} == {"a": 1, "b": 9}
    demand.take("a")
    assert [want.queue for want in demand.wants(8)] == ["b"]
    demand.give("a")
    assert len(demand.wants(8)) == 2


durations = st.floats(0, 1000)


@settings(deadline=None)
@given(
    st.integers(1, 50),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 5)),
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), durations), max_size=60),
)
def test_whatever_happens_no_more_is_asked_for_than_may_be_held(
    concurrency: int, limits: dict[str, int], steps: list[tuple[str, bool, float]]
) -> None:
    demand = Demand(["a", "b", "c"], concurrency, limits=limits, rng=Random(0))
    held: Counter[str] = Counter()
    now = 0.0
    for queue, take, seconds in steps:
        room = demand.room()
        for want in demand.wants(room) if room else []:
            assert 0 < want.limit <= room
            assert held[want.queue] + want.limit <= limits.get(want.queue, 10**9)
        assert 0 <= room <= concurrency + demand.prefetch - demand.held or room == 0
        demand.claimed(room, min(room, int(take)))
        if take and any(want.queue == queue for want in demand.wants(max(room, 0)) if room):
            demand.take(queue)
            held[queue] += 1
        elif held[queue]:
            demand.give(queue)
            now += seconds
            demand.ended(seconds, now)
            held[queue] -= 1
        assert demand.held == held.total()
        assert 0 <= demand.prefetch <= 480
