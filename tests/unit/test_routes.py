"""Routes: the same carrier for a job everywhere, as many jobs as the weights say, and only the difference moves."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.job import NewJob, new_job_id
from headway.routing.routes import PLACES, Route, moved, place_of_id, route_of

if TYPE_CHECKING:
    from random import Random

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed
NAMES = ("east", "main", "push", "west")
texts = st.text(min_size=1, max_size=40)


@st.composite
def weights(draw: st.DrawFn, most: int = 4) -> dict[str, int]:
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, most))]
    cuts = sorted(draw(st.lists(st.integers(0, PLACES), min_size=len(names) - 1, max_size=len(names) - 1)))
    counts = [b - a for a, b in pairwise([0, *cuts, PLACES])]
    return dict(zip(names, counts, strict=True))


def without_nothing(given: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in sorted(given.items()) if count}


# Golden values: a job's carrier must never change with a release, a platform or a Python.
GOLDEN = [
    ("email", "customer-1", 88),
    ("email", "customer-2", 49),
    ("reports", "customer-1", 47),
    ("reports", "customer-2", 40),
    ("email", "0k3v9m2x7q1w8e5r4t6y", 58),
    ("email", "ключ ✓", 40),
    ("a queue with a name of more than 16 bytes", "x", 45),
    ("email", "\ud800", 35),
]


@pytest.mark.parametrize(("queue", "text", "place"), GOLDEN)
def test_the_place_of_a_text_never_changes(queue: str, text: str, place: int) -> None:
    assert Route(queue, (("main", 100),)).place(text) == place


@pytest.mark.parametrize(
    ("job_id", "place"), [("06h2tzyqywntj7jax0p", 85), ("06h2tzyr5c6a591cj15", 67), ("", 0), ("\ud800", 11)]
)
def test_the_place_of_an_id_never_changes(job_id: str, place: int) -> None:
    assert place_of_id(job_id) == place


def test_ids_that_count_up_spread_over_all_places_whether_made_at_once_or_at_leisure() -> None:
    count = 20_000
    at_once = [new_job_id()[:-1] for _ in range(count)]
    at_leisure = [f"{number * 7919:011x}{at_once[number][9:]}" for number in range(count)]
    for ids in (at_once, at_leisure):
        held = Counter(map(place_of_id, ids))
        chi = sum((held[place] - count / PLACES) ** 2 / (count / PLACES) for place in range(PLACES))
        assert chi < 180  # with 99 degrees of freedom; more in one of a million
        run = [place_of_id(one) < 50 for one in ids]
        assert 0.4 < sum(a != b for a, b in pairwise(run)) / count < 0.65  # and by turns


@UNTIMED
@given(weights())
def test_a_route_chooses_for_many_as_for_one(given: dict[str, int]) -> None:
    jobs = [NewJob(new_job_id(), "t", "email", b"") for _ in range(50)]
    route = route_of("email", given)
    assert route.choose_each(jobs) == [route.choose(job.id[:-1]) for job in jobs]


@UNTIMED
@given(weights())
def test_a_route_gives_each_carrier_its_percentage_of_the_places(given: dict[str, int]) -> None:
    route = route_of("email", given)
    held = [route.carrier_at(place) for place in range(PLACES)]
    assert {name: held.count(name) for name in sorted(set(held))} == without_nothing(given) == route.weights


@UNTIMED
@given(weights(), st.randoms(use_true_random=False))
def test_the_order_in_which_carriers_are_named_means_nothing(given: dict[str, int], rng: Random) -> None:
    items = list(given.items())
    rng.shuffle(items)
    assert route_of("email", dict(items)) == route_of("email", given)


@UNTIMED
@given(st.lists(weights(), min_size=2, max_size=6), texts)
def test_a_change_of_weights_moves_exactly_the_difference(steps: list[dict[str, int]], text: str) -> None:
    route = route_of("email", steps[0])
    for after in steps[1:]:
        changed = route.changed(after)
        assert changed.weights == without_nothing(after)
        gained = {name: max(0, after.get(name, 0) - route.weights.get(name, 0)) for name in NAMES}
        assert moved(route, changed) == sum(gained.values())
        was, is_now = route.choose(text), changed.choose(text)
        assert was == is_now or gained[is_now] > 0  # nobody comes to a carrier that did not gain
        route = changed


@UNTIMED
@given(st.lists(weights(most=2).filter(lambda w: set(w) <= {"main", "push"}), min_size=2, max_size=5))
def test_with_two_carriers_the_way_to_the_weights_does_not_matter(steps: list[dict[str, int]]) -> None:
    route = route_of("email", steps[0])
    for after in steps[1:]:
        route = route.changed(after)
    assert route == route_of("email", steps[-1])


@UNTIMED
@given(st.integers(0, 99).flatmap(lambda low: st.tuples(st.just(low), st.integers(low + 1, 100))), texts)
def test_a_job_that_has_moved_stays_as_the_percentage_rises(two: tuple[int, int], text: str) -> None:
    low, high = (route_of("email", {"main": 100 - percent, "push": percent}) for percent in two)
    assert low.choose(text) == "main" or high.choose(text) == "push"


@pytest.mark.parametrize("queue", ["email", "reports", "thumbnails"])
def test_the_shares_of_many_jobs_are_those_of_the_weights(queue: str) -> None:
    """Within five standard deviations: one in a million such tests would fail, and this one always draws the same."""
    route, count = route_of(queue, {"main": 65, "push": 25, "west": 10}), 20_000
    chosen = [route.choose(f"customer-{number}") for number in range(count)]
    for name, percent in route.weights.items():
        share = percent / 100
        assert chosen.count(name) == pytest.approx(
            count * share, abs=5 * math.sqrt(count * share * (1 - share))
        )


def test_queues_are_independent() -> None:
    """At 50 % each, a quarter of the keys is on the new side of both; with one hash for all it would be half."""
    email, reports = (route_of(queue, {"main": 50, "push": 50}) for queue in ("email", "reports"))
    both = sum(email.choose("", f"{n}") == reports.choose("", f"{n}") == "push" for n in range(10_000))
    assert both == pytest.approx(2500, abs=5 * math.sqrt(10_000 * 0.25 * 0.75))


def test_a_job_is_placed_by_its_key_else_its_id() -> None:
    route = route_of("email", {"main": 50, "push": 50})
    by_key = {route.choose(f"id-{n}", key="customer-1") for n in range(50)}
    assert by_key == {route.choose("customer-1")}
    assert {route.choose(f"id-{n}") for n in range(50)} == {"main", "push"}


def test_jobs_of_one_tenant_go_to_one_carrier() -> None:
    route = route_of("email", {"main": 50, "push": 50}, "header:tenant")
    chosen = {route.choose(f"id-{n}", f"key-{n}", {"tenant": "acme"}) for n in range(50)}
    assert chosen == {route.carrier_at(route.place("acme"))}
    assert {route.choose(f"id-{n}", None, {"tenant": f"t{n}"}) for n in range(50)} == {"main", "push"}
    # One without the header, or with an empty one, is placed as if the route named none.
    assert (
        route.choose("id-1", "key-1", {})
        == route.choose("id-1", "key-1")
        == route.carrier_at(route.place("key-1"))
    )
    assert route.choose("id-1", None, {"tenant": ""}) == route.choose("id-1")


def test_a_route_to_one_carrier_takes_all() -> None:
    route = route_of("email", {"main": 0, "push": 100}, "header:tenant")
    assert route.only == "push"
    assert route.choose("id") == route.choose("id", None, {"tenant": "x"}) == "push"


@pytest.mark.parametrize("runs", [(), (("main", 99),), (("main", 101),), (("main", 100), ("push", 0)), (("main", 110), ("push", -10))])  # fmt: skip
def test_runs_that_are_not_100_places_are_refused(runs: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="must be positive and add up to 100"):
        Route("email", runs)


def test_there_is_no_place_100() -> None:
    with pytest.raises(IndexError, match="places from 0 to 99, got 100"):
        route_of("email", {"main": 100}).carrier_at(100)


def test_a_route_survives_pickling_and_is_equal_by_what_it_says() -> None:
    route = route_of("email", {"main": 75, "push": 25}, "header:tenant")
    again = pickle.loads(pickle.dumps(route))  # noqa: S301 - our own
    assert again == route
    assert hash(again) == hash(route)
    assert again.place("acme") == route.place("acme")
    assert repr(route) == "Route(queue='email', runs=(('main', 75), ('push', 25)), by='header:tenant')"
    assert route != route_of("email", {"main": 75, "push": 25})


def test_runs_of_one_carrier_in_a_row_are_one() -> None:
    assert Route("email", (("main", 40), ("main", 60))) == route_of("email", {"main": 100})


def test_what_moves_when_jobs_are_placed_by_something_else() -> None:
    by_key = route_of("email", {"main": 50, "push": 50})
    by_tenant = route_of("email", {"main": 50, "push": 50}, "header:tenant")
    assert moved(by_key, by_tenant) == 100
    assert moved(route_of("email", {"main": 100}), route_of("email", {"main": 100}, "header:tenant")) == 0
