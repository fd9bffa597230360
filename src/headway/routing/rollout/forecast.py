"""What a roll-out would be like, by the figures of the queue before it: for a dry run, and to refuse the hopeless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from headway.figures.histogram import bucket_above
from headway.routing.rollout.judging import SLOWEST, threshold
from headway.routing.sequential import ODDS, Evidence, Side, limit_growth, more_jobs

if TYPE_CHECKING:
    from headway.figures.values import Counts
    from headway.routing.rollout.plan import Plan

_MANY: Final = 1_000_000
"""Jobs in proportion to which it is worked out how many it takes to see a fault."""


class StepForecast(NamedTuple):
    """One step: its percentage, and how long it takes at the present rate; None when no job comes at all."""

    percent: int
    takes_ms: int | None


def steps_forecast(plan: Plan, before: Counts, span_ms: int) -> list[StepForecast]:
    """Return how long each step would take, if jobs ended as they did on all carriers in a span of so many ms.

    A step takes its time, or as long as `min_jobs` take with its percentage of them, whichever is longer.
    """
    forecast: list[StepForecast] = []
    for percent in plan.steps:
        stands = plan.every_ms + (plan.stand_ms if percent == plan.steps[-1] else 0)
        jobs = before.ended * percent / 100
        needs = round(plan.min_jobs * span_ms / jobs) if jobs else None
        forecast.append(StepForecast(percent, None if needs is None else max(stands, needs)))
    return forecast


def broken_before(plan: Plan, before: Counts) -> list[str]:
    """Return the limits that the queue breaks already, one line each: no roll-out can be expected to keep them."""
    broken: list[str] = []
    rate, limit = before.error_rate, plan.max_error_rate
    if limit is not None and rate is not None and rate > limit:
        broken.append(
            f"max_error_rate is {limit:.2%}, but {rate:.2%} of {before.ended} attempts fail already"
        )
    for name, limit_ms, histogram in (
        ("max_p95", plan.max_p95_ms, before.duration),
        ("max_queue_latency", plan.max_queue_latency_ms, before.latency),
    ):
        found = histogram.quantile(1 - SLOWEST)
        if limit_ms is None or found is None:
            continue
        if histogram.from_bucket(bucket_above(limit_ms)) > SLOWEST * histogram.total:
            broken.append(
                f"{name} is {limit_ms} ms, but the p95 of {histogram.total} attempts is about {found.ms:.0f} ms already"
            )
    return broken


def jobs_to_see(plan: Plan, rate: float) -> int | None:
    """Return about how many jobs of the new side it takes to see that their error rate is this one, above the limit.

    None when the plan has no such limit, or the rate is not above it.
    """
    limit = plan.max_error_rate
    if limit is None or rate <= limit:
        return None
    seen = Side(_MANY, round(_MANY * rate))
    first_stake = 1 / (len(plan.steps) + 1) / len(ODDS)
    return more_jobs(Evidence(reserve=first_stake), threshold(plan), limit_growth(seen, limit), _MANY)
