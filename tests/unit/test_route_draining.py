"""Drained carriers: they take nothing, the others keep their places, and the end of it restores each place."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headway.routing.declared import Declared
from headway.routing.draining import stand_in, working
from headway.routing.routes import PLACES, Route, route_of
from headway.routing.table import UNROUTED, RouteTable
from headway.routing.tableformat import decode_table, encode_table
from tests.unit.test_routes import UNTIMED, weights

NAMES = ("east", "main", "push", "west")


@UNTIMED
@given(weights(), st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES), max_size=3))
def test_a_drained_carrier_has_no_place_and_no_other_gives_one_away(
    given: dict[str, int], drained: dict[str, str]
) -> None:
    route = route_of("email", given)
    works = working(route, drained)
    assert sum(works.weights.values()) == PLACES
    left = set(route.weights) - set(drained)
    if not left:
        most = max(route.weights, key=lambda name: route.weights[name])
        assert works.only == stand_in(most, drained)
        return
    assert set(works.weights) == left
    for place in range(PLACES):
        if route.carrier_at(place) in left:
            assert works.carrier_at(place) == route.carrier_at(place)
    for name in left:
        share = route.weights[name] * PLACES / sum(route.weights[one] for one in left)
        assert abs(works.weights[name] - share) < 1


def test_who_stands_in_for_whom() -> None:
    assert stand_in("a", {}) == "a"
    assert stand_in("a", {"a": "b", "b": "c"}) == "c"
    assert stand_in("a", {"a": "b", "b": "a"}) in {"a", "b"}  # damaged: nobody waits for ever


def _drained(table: RouteTable, known: Declared, **drained: str) -> RouteTable:
    return table.drained_as(
        drained, who="w", when_ms=1, why="y", unrouted=known.unrouted, queues=known.routes
    )


def test_a_drain_is_a_version_that_says_what_was_before_of_every_queue() -> None:
    known = Declared(("main", "push"), {"email": route_of("email", {"main": 50, "push": 50})})
    table = RouteTable().changed(
        {"reports": route_of("reports", {"push": 100})}, who="", when_ms=0, why="", unrouted=known.unrouted
    )
    drained = _drained(table, known, push="main")
    assert (drained.version, drained.routes) == (2, table.routes)
    assert drained.changes == {"reports": 2, "email": 2}
    assert drained.former["email"] == (known.routes["email"],)
    assert known.working(drained, "email").only == known.working(drained, "reports").only == "main"
    assert known.route(drained, "email").weights == {"main": 50, "push": 50}
    first = _drained(table, known, main="push")
    assert first.former[UNROUTED] == (Route(UNROUTED, (("main", 100),)),)
    assert known.working(first, "anything").only == "push"
    assert decode_table(encode_table(first)) == first
    back = _drained(first, known)
    assert (back.drained, known.working(back, "email")) == ({}, known.routes["email"])
    # A change of a route beside it says what worked before, not what was set.
    later = drained.changed(
        {"email": route_of("email", {"main": 100})}, who="", when_ms=0, why="", unrouted=known.unrouted
    )
    assert (later.drained, later.changes["email"]) == ({"push": "main"}, 2)


@settings(deadline=None, max_examples=20)
@given(st.permutations(NAMES))
def test_any_but_one_may_be_drained(names: list[str]) -> None:
    route, drained = route_of("q", dict.fromkeys(NAMES, 25)), dict[str, str]()
    for name in names[:-1]:
        drained[name] = names[-1]
        assert not set(working(route, drained).weights) & set(drained)
    assert working(route, drained).only == names[-1]
