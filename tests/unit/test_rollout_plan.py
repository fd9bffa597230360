"""Plans of roll-outs: what is read, and what each mistake is told."""

from __future__ import annotations

import pytest

from headway.errors import ConfigError
from headway.routing.rollout.plan import Plan, check_against, parse_plan
from headway.routing.rollout.planfile import parse_plans
from headway.routing.routes import route_of


def test_a_plan_as_the_command_line_gives_it() -> None:
    given = {
        "to": "push", "steps": "1,5,25,50,100", "every": "10m", "max_error_rate": "1%", "max_p95": "5s", "max_queue_latency": "30s",
        "min_jobs": "200", "delay": "1m", "stand": "1d", "max_backlog": "1000", "tolerance": "2", "false_alarm": "0.1%", "waiting": "move",
    }  # fmt: skip
    assert parse_plan("email", given) == Plan(
        queue="email", to="push", steps=(1, 5, 25, 50, 100), every_ms=600_000, max_error_rate=0.01, max_p95_ms=5000, max_queue_latency_ms=30_000,
        min_jobs=200, delay_ms=60_000, stand_ms=86_400_000, max_backlog=1000, tolerance=2.0, false_alarm=0.001, waiting="move",
    )  # fmt: skip


def test_a_plan_as_a_file_gives_it() -> None:
    assert parse_plan(
        "email", {"to": "push", "steps": [10, 100], "every": 60, "max_error_rate": 0.02, "min_jobs": 50}
    ) == Plan(queue="email", to="push", steps=(10, 100), every_ms=60_000, max_error_rate=0.02, min_jobs=50)
    assert parse_plan("email", {"to": "push"}) == Plan(queue="email", to="push")


MISTAKES: list[tuple[dict[str, object], str]] = [
    ({}, "rollout: 'to' is missing: the carrier that the queue goes to"),
    ({"to": "a b"}, "rollout: to: a carrier's name has 1 to 32 letters, digits, - and _, got 'a b'"),
    ({"to": "push", "max_eror_rate": "1%"}, "rollout: unknown setting 'max_eror_rate'; do you mean 'max_error_rate'?"),
    ({"to": "push", "steps": "5,1,100"}, "rollout: steps must rise: 1 comes after 5"),
    ({"to": "push", "steps": [5, 5]}, "rollout: steps must rise: 5 comes after 5"),
    ({"to": "push", "steps": [0, 5]}, "rollout: steps must be whole percentages from 1 to 100, such as 1,5,25,50,100; got 0"),
    ({"to": "push", "steps": "1,x"}, "rollout: steps must be whole percentages from 1 to 100, such as 1,5,25,50,100; got 'x'"),
    ({"to": "push", "steps": [True]}, "rollout: steps must be whole percentages from 1 to 100, such as 1,5,25,50,100; got True"),
    ({"to": "push", "steps": []}, "rollout: steps must name at least one percentage"),
    ({"to": "push", "every": "soon"}, "rollout: every must be a timedelta, a number of seconds, or a text such as 500ms, 15s, 2m, 24h, 7d; got 'soon'"),
    ({"to": "push", "every": "0s"}, "rollout: every must be at least 1000 ms, got '0s'"),
    ({"to": "push", "delay": -1}, "rollout: delay must be at least 0 ms, got -1"),
    ({"to": "push", "max_p95": 0}, "rollout: max_p95 must be at least 1 ms: nothing shorter is measured, so that no job could meet it, got 0"),
    ({"to": "push", "max_queue_latency": "0ms"}, "rollout: max_queue_latency must be at least 1 ms: nothing shorter is measured, so that no job could meet it, got '0ms'"),
    ({"to": "push", "max_error_rate": "0%"}, "rollout: max_error_rate must be above 0% and below 100%, got '0%': no number of jobs can prove a rate of 0%"),
    ({"to": "push", "max_error_rate": 1.0}, "rollout: max_error_rate must be above 0% and below 100%, got 1.0: no number of jobs can prove a rate of 0%"),
    ({"to": "push", "max_error_rate": 1}, "rollout: max_error_rate must be a percentage such as 1% or a share such as 0.01, got 1"),
    ({"to": "push", "max_error_rate": "one"}, "rollout: max_error_rate must be a percentage such as 1% or a share such as 0.01, got 'one'"),
    ({"to": "push", "max_backlog": 0}, "rollout: max_backlog must be a whole number from 1 to 1000000000, got 0"),
    ({"to": "push", "min_jobs": "many"}, "rollout: min_jobs must be a whole number from 1 to 1000000000, got 'many'"),
    ({"to": "push", "false_alarm": "90%"}, "rollout: false_alarm must be from 0.001% to 50%, got '90%'"),
    ({"to": "push", "tolerance": 0.5}, "rollout: tolerance must be a number from 1 (no worse than the other side) to 100, got 0.5"),
    ({"to": "push", "waiting": "drop"}, "rollout: waiting must be run (there), move (back) or stay (unrun), got 'drop'"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), MISTAKES)
def test_a_mistake_in_a_plan_is_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_plan("email", given)
    assert str(caught.value) == message


def test_a_queue_that_no_carrier_can_hold_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^rollout: queue name 'a,b': "):
        parse_plan("a,b", {"to": "push"})


@pytest.mark.parametrize(
    ("weights", "to", "message"),
    [
        ({"main": 100}, "kafka", "rollout: to: there is no carrier 'kafka'; the carriers are main, push"),
        ({"push": 100}, "push", "rollout: to: all jobs of email go to push already"),
        ({"main": 95, "push": 5}, "push", "rollout: steps: the first is 1 percent, but push has 5 already; begin above it"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit_the_route_is_refused(
    weights: dict[str, int], to: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_against(Plan(queue="email", to=to), route_of("email", weights), ("main", "push"))
    assert str(caught.value) == message


def test_a_plan_that_fits_is_not_refused() -> None:
    check_against(
        Plan(queue="email", to="push", steps=(6, 100)),
        route_of("email", {"main": 95, "push": 5}),
        ("main", "push"),
    )


FILE = """
to = "push"
every = "10m"
max_error_rate = "1%"
[[queue]]
name = "thumbnails"
[[queue]]
name = "email"
steps = [1, 10, 100]
max_error_rate = "0.5%"
stand = "1d"
"""


def test_a_plan_file_has_settings_for_all_and_for_each_queue_in_the_order_of_risk() -> None:
    assert parse_plans(FILE, "plan.toml") == (
        Plan(queue="thumbnails", to="push", max_error_rate=0.01),
        Plan(queue="email", to="push", steps=(1, 10, 100), max_error_rate=0.005, stand_ms=86_400_000),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("to = ", "plan.toml: Invalid value"),
        ('to = "push"', r"plan.toml: has 0 tables \[\[queue\]\]; it must have 1 to 1000"),
        ("queue = 5", r"plan.toml: queues are tables, each below a line \[\[queue\]\]"),
        ("queue = [5]", r"plan.toml: queues are tables, each below a line \[\[queue\]\]"),
        ('[[queue]]\nto = "push"', r'plan.toml: a \[\[queue\]\] has no name: write name = "..." below it'),
        (FILE + '[[queue]]\nname = "email"', "plan.toml: queue email is there twice; one roll-out moves it once"),
        (FILE + "min_jobs = 0", "plan.toml: queue email: min_jobs must be a whole number from 1"),
        ('to = "push"\nspeed = 5\n[[queue]]\nname = "a"', "plan.toml: queue a: unknown setting 'speed'; "),
    ],
)  # fmt: skip
def test_a_mistake_in_a_plan_file_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse_plans(text, "plan.toml")
