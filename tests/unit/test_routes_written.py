"""Routes as people write them: what is read, and what each mistake is told."""

from __future__ import annotations

import pytest

from headway.errors import ConfigError
from headway.routing.routes import route_of
from headway.routing.written import checked_carrier, parse_route, parse_routes, parse_weights

CARRIERS = ("main", "push", "west")


@pytest.mark.parametrize(
    ("value", "weights", "by"),
    [
        ("push", {"push": 100}, ""),
        ({"main": 90, "push": 10}, {"main": 90, "push": 10}, ""),
        ({"push": 10, "main": 90, "by": "header:tenant"}, {"main": 90, "push": 10}, "header:tenant"),
        ({"main": 100, "push": 0}, {"main": 100}, ""),
    ],
)
def test_the_forms_of_a_route(value: object, weights: dict[str, int], by: str) -> None:
    assert parse_route("reports", value, CARRIERS) == route_of("reports", weights, by)


FORMS = "the name of a carrier, or weights such as { main = 90, push = 10 }"
MISTAKES: list[tuple[object, str]] = [
    ("psuh", "routes.reports: there is no carrier 'psuh'; the carriers are main, push, west: do you mean 'push'?"),
    ({"main": 90, "kafka": 10}, "routes.reports: there is no carrier 'kafka'; the carriers are main, push, west"),
    ({"main": 90, "push": 5}, "routes.reports: the weights add up to 95 percent (main 90, push 5), not to 100"),
    ({"main": 60, "push": 50}, "routes.reports: the weights add up to 110 percent (main 60, push 50), not to 100"),
    ({}, "routes.reports: the weights add up to 0 percent (none is given), not to 100"),
    ({"main": 66.7, "push": 33.3}, "routes.reports.main: must be a whole number of percent from 0 to 100, got 66.7"),
    ({"main": "90", "push": 10}, "routes.reports.main: must be a whole number of percent from 0 to 100, got '90'"),
    ({"main": True, "push": 99}, "routes.reports.main: must be a whole number of percent from 0 to 100, got True"),
    ({"main": 110, "push": -10}, "routes.reports.main: must be a whole number of percent from 0 to 100, got 110"),
    ({"main": 100, "by": "tenant"}, 'routes.reports.by: must be "header:" and the name of a header, such as "header:tenant"; got \'tenant\''),
    ({"main": 100, "by": "header:"}, 'routes.reports.by: must be "header:" and the name of a header, such as "header:tenant"; got \'header:\''),
    ({"main": 100, "by": 5}, 'routes.reports.by: must be "header:" and the name of a header, such as "header:tenant"; got 5'),
    ({3: 100}, "routes.reports: there is no carrier 3; the carriers are main, push, west"),
    (["main"], f"routes.reports: must be {FORMS}; got ['main']"),
    (None, f"routes.reports: must be {FORMS}; got None"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), MISTAKES)
def test_a_mistake_in_a_route_is_named(value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_route("reports", value, CARRIERS)
    assert str(caught.value) == message


def test_a_queue_that_no_carrier_can_hold_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^routes\.a,b: queue name 'a,b': "):
        parse_route("a,b", "main", CARRIERS)


def test_a_table_of_routes() -> None:
    assert parse_routes({"email": "push", "reports": {"main": 50, "west": 50}}, CARRIERS) == {
        "email": route_of("email", {"push": 100}),
        "reports": route_of("reports", {"main": 50, "west": 50}),
    }
    with pytest.raises(
        ConfigError, match=r"^HEADWAY_ROUTES: must be a table of queues, .*; got 'email=push'$"
    ):
        parse_routes("email=push", CARRIERS, "HEADWAY_ROUTES")


@pytest.mark.parametrize(
    ("words", "weights"),
    [(["push"], {"push": 100}), (["main=75", "push=25"], {"main": 75, "push": 25}), (["main=75%", "push=25%"], {"main": 75, "push": 25})],
)  # fmt: skip
def test_weights_on_a_command_line(words: list[str], weights: dict[str, int]) -> None:
    assert parse_weights(words, CARRIERS, "routes set") == weights


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pusch"], "routes set: there is no carrier 'pusch'; the carriers are main, push, west: do you mean 'push'?"),
        (["main=75", "push"], "routes set: 'push' must be a carrier and its percentage, such as push=25"),
        (["main=7.5", "push=92.5"], "routes set: 'main=7.5' must be a carrier and its percentage, such as push=25"),
        (["main=-5", "push=105"], "routes set: 'main=-5' must be a carrier and its percentage, such as push=25"),
        (["main=\u0665", "push=50"], "routes set: 'main=\u0665' must be a carrier and its percentage, such as push=25"),
        (["main=50", "main=50"], "routes set: main is given twice"),
        (["main=50", "push=40"], "routes set: the weights add up to 90 percent (main 50, push 40), not to 100"),
        ([], "routes set: the weights add up to 0 percent (none is given), not to 100"),
    ],
)  # fmt: skip
def test_a_mistake_on_a_command_line_is_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_weights(words, CARRIERS, "routes set")
    assert str(caught.value) == message


def test_names_of_carriers() -> None:
    assert [checked_carrier(name, "carriers") for name in ("main", "eu-west_1", "2")] == ["main", "eu-west_1", "2"]  # fmt: skip
    for name in ("", "a b", "-a", "a=b", "a:b", "x" * 33, 5, "ä"):
        with pytest.raises(
            ConfigError, match=r"^carriers: a carrier's name has 1 to 32 letters, digits, - and _, got "
        ):
            checked_carrier(name, "carriers")
    with pytest.raises(ConfigError, match=r"^carriers: a carrier cannot be called 'by'"):
        checked_carrier("by", "carriers")
