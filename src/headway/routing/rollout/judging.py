"""Judges one look at both sides of a roll-out: each limit passes, fails, or has too little data to tell.

`docs/explanation/moving.md` gives the reason of each rule.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.figures.histogram import BUCKETS_PER_DOUBLING, bucket_above, bucket_of
from headway.routing.rollout.judgement import Guard, Judgement, Verdict
from headway.routing.rollout.sides import Sides
from headway.routing.sequential import (
    PATIENCE,
    Claim,
    Evidence,
    Side,
    against_limit,
    against_other,
    limit_growth,
    more_jobs,
    other_growth,
    staked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.figures.values import Counts
    from headway.routing.rollout.plan import Plan

SLOWEST: Final = 0.05
"""The share of jobs above the 95th percentile."""
ERROR_POINTS: Final = 0.005
"""What the new side's error rate may be above the other's, beyond the plan's tolerance: half a point."""
GAUGE_LOOKS: Final = 3
"""Looks in a row at which a number that is read, not sampled, must be above its limit to fail."""
_LEAST_TO_COMPARE: Final = 20
"""Jobs of the other side from which its 95th percentile is taken."""
_EXCUSE: Final = 1.5
"""How many times the share of slow jobs on the other side passes, when it is sure that there are not more.

Where durations are the same on both sides and lie in clusters (time-outs do), the two shares are the same, too: without
this, half of all healthy roll-outs would wait for a difference of nothing to go away.
"""
_MEMORY: Final = 0.9
"""What each look leaves of the weight of earlier ones in what is expected of the other side."""
_PLAUSIBLE: Final = 1.28
"""Standard deviations that the other side's true rate may well be above the one that was seen: few jobs say little."""
_SURE: Final = 2.0
"""Standard deviations by which a rate a little above its limit must lie below the limit times the tolerance."""


class Watch(Struct, frozen=True, array_like=True):
    """What is remembered of one guard from look to look.

    `evidence` is of the whole roll-out; `looks`, `new` and `other` (jobs and bad ones) of this step. `usual` is what to
    expect of the other side: jobs and bad ones, the latest with most weight. `over` counts looks in a row above the
    limit.
    """

    evidence: Evidence = Evidence()
    looks: int = 0
    new: Side = Side(0, 0)
    other: Side = Side(0, 0)
    usual: tuple[float, float] = (0.0, 0.0)
    over: int = 0

    def next_step(self) -> Watch:
        """Begin a step: the evidence goes on, what must be shown in each step begins anew."""
        return Watch(self.evidence, usual=self.usual, over=self.over)


class Block(Struct, frozen=True):
    """What is judged at one look: what has come since the last one, and the state of things now.

    `before` are the figures up to the last look. `step` are those of this step, this look included. `backlog` counts
    the due jobs that wait on the new side, `oldest_ms` is how long the oldest of them has been due; None where nobody
    can tell.
    """

    sides: Sides
    before: Sides
    step: Sides
    steps_left: int  # with this one
    backlog: int | None = None
    oldest_ms: int | None = None


def guards_of(plan: Plan) -> tuple[Guard, ...]:
    """Return what a plan guards; a comparison with the other side is always among it."""
    return tuple(
        guard
        for guard, guarded in (
            (Guard.ERROR_RATE, plan.max_error_rate),
            (Guard.ERROR_RATE_OF_OTHER, True),
            (Guard.P95, plan.max_p95_ms),
            (Guard.P95_OF_OTHER, True),
            (Guard.QUEUE_LATENCY, plan.max_queue_latency_ms),
            (Guard.BACKLOG, plan.max_backlog),
            (Guard.STALLED, plan.max_queue_latency_ms),
        )
        if guarded is not None
    )


def threshold(plan: Plan) -> float:
    """Return the capital at which a limit is broken: the rate of false alarms is shared equally by what is sampled."""
    sampled = sum(guard not in _GAUGES for guard in guards_of(plan))
    return sampled / plan.false_alarm


def judge(
    plan: Plan, watches: dict[Guard, Watch], block: Block
) -> tuple[dict[Guard, Watch], tuple[Judgement, ...]]:
    """Return what is remembered after a look, and the judgements; those of which nothing can be known are left out."""
    after: dict[Guard, Watch] = {}
    judgements: list[Judgement] = []
    for guard in guards_of(plan):
        after[guard], judgement = _judged(guard, plan, watches.get(guard, Watch()), block)
        if judgement is not None:
            judgements.append(judgement)
    return after, tuple(judgements)


_GAUGES: Final = frozenset({Guard.BACKLOG, Guard.STALLED})


def _judged(  # noqa: PLR0911 - one for each guard
    guard: Guard, plan: Plan, watch: Watch, block: Block
) -> tuple[Watch, Judgement | None]:
    match guard:
        case Guard.ERROR_RATE:
            new = _failures(block.sides.new)
            return _by_limit(guard, plan, _step(watch, new, block), new, plan.max_error_rate or 0.0)
        case Guard.P95:
            new = _slow(block.sides.new, bucket_above(plan.max_p95_ms or 0))
            return _timed(plan, block, _by_limit(guard, plan, _step(watch, new, block), new, SLOWEST))
        case Guard.QUEUE_LATENCY:
            new = _late(block.sides.new, bucket_above(plan.max_queue_latency_ms or 0))
            return _timed(plan, block, _by_limit(guard, plan, _step(watch, new, block), new, SLOWEST))
        case Guard.ERROR_RATE_OF_OTHER:
            new, other = _failures(block.sides.new), _failures(block.sides.other)
            usual_jobs, usual_bad = watch.usual
            claim = Claim((usual_bad + 0.5) / (usual_jobs + 50), plan.tolerance, ERROR_POINTS)
            return _by_other(guard, plan, _step(watch, new, block, other), (new, other), claim)
        case Guard.P95_OF_OTHER:
            return _slower(plan, watch, block)
        case Guard.BACKLOG:
            return _gauge(guard, watch, block, block.backlog, plan.max_backlog or 0)
        case Guard.STALLED:
            waited = 0 if block.sides.new.started else block.oldest_ms
            return _gauge(guard, watch, block, waited, plan.max_queue_latency_ms or 0)


def _step(watch: Watch, new: Side, block: Block, other: Side | None = None) -> Watch:
    """Stake for this look, before it is known how its jobs ended, and add them to those of the step.

    At the first look of a step most is staked: a fault that more load brings shows there.
    """
    looks, evidence = watch.looks, watch.evidence
    if new.jobs and (other is None or other.jobs):
        looks += 1
        part = 1 / (block.steps_left + 1) if looks == 1 else 1 / (PATIENCE + looks)
        evidence = staked(evidence, part)
    others = watch.other if other is None else watch.other.merged(other)
    return Watch(evidence, looks, watch.new.merged(new), others, watch.usual)


def _by_limit(
    guard: Guard, plan: Plan, watch: Watch, new: Side, limit: float
) -> tuple[Watch, Judgement | None]:
    after = Watch(against_limit(watch.evidence, new, limit), watch.looks, watch.new, watch.other)
    excused = limit * plan.tolerance
    verdict, needed = _verdict(plan, after, limit, excused, lambda: limit_growth(after.new, limit))
    return after, Judgement(guard, verdict, after.new.share, limit, after.new.jobs, needed=needed)


def _by_other(
    guard: Guard, plan: Plan, watch: Watch, sides: tuple[Side, Side], claim: Claim, *, excuse: float = 1.0
) -> tuple[Watch, Judgement | None]:
    new, other = sides
    usual_jobs, usual_bad = watch.usual
    after = Watch(
        against_other(watch.evidence, new, other, claim),
        watch.looks,
        watch.new,
        watch.other,
        (usual_jobs * _MEMORY + other.jobs, usual_bad * _MEMORY + other.bad),
    )
    if not after.other.jobs:
        return after, None
    limit = claim.bound(_upper(after.other, _PLAUSIBLE))
    verdict, needed = _verdict(
        plan, after, limit, limit * excuse, lambda: other_growth(after.new, after.other, claim)
    )
    share = after.new.share
    return after, Judgement(guard, verdict, share, limit, after.new.jobs, after.other.share, needed)


def _slower(plan: Plan, watch: Watch, block: Block) -> tuple[Watch, Judgement | None]:
    """Compare the share of jobs above the other side's p95, times the tolerance, with its share above that p95."""
    earlier = block.before.other.duration
    slow = earlier.quantile(1 - SLOWEST)
    if slow is None or earlier.total < _LEAST_TO_COMPARE:
        return watch, None
    above = bucket_of(slow.low_ms) + 1
    further = above + math.ceil(math.log2(plan.tolerance) * BUCKETS_PER_DOUBLING)
    new, other = _slow(block.sides.new, further), _slow(block.sides.other, above)
    claim = Claim(SLOWEST)
    after, judgement = _by_other(
        Guard.P95_OF_OTHER, plan, _step(watch, new, block, other), (new, other), claim, excuse=_EXCUSE
    )
    if judgement is None:
        return after, None
    values = [side.duration.quantile(1 - SLOWEST) for side in (block.step.new, block.step.other)]
    value, theirs = (quantile.ms if quantile else 0.0 for quantile in values)
    limit = theirs * plan.tolerance
    return after, Judgement(
        judgement.guard, judgement.verdict, value, limit, judgement.jobs, theirs, judgement.needed
    )


def _timed(
    plan: Plan, block: Block, judged: tuple[Watch, Judgement | None]
) -> tuple[Watch, Judgement | None]:
    """Show the p95 and its limit in ms, where the test is of the share of jobs above the limit."""
    after, judgement = judged
    if judgement is None:
        return judged
    latency = judgement.guard is Guard.QUEUE_LATENCY
    found = (block.step.new.latency if latency else block.step.new.duration).quantile(1 - SLOWEST)
    limit = (plan.max_queue_latency_ms if latency else plan.max_p95_ms) or 0
    value = found.ms if found else 0.0
    return after, Judgement(
        judgement.guard, judgement.verdict, value, limit, judgement.jobs, needed=judgement.needed
    )


def _gauge(
    guard: Guard, watch: Watch, block: Block, value: int | None, limit: int
) -> tuple[Watch, Judgement | None]:
    if value is None:
        return watch, None
    over = watch.over + 1 if value > limit else 0
    verdict = Verdict.PASS if not over else Verdict.FAIL if over >= GAUGE_LOOKS else Verdict.INCONCLUSIVE
    return Watch(over=over), Judgement(guard, verdict, value, limit, block.step.new.started)


def _verdict(
    plan: Plan, watch: Watch, limit: float, excused: float, growth: Callable[[], tuple[float, ...]]
) -> tuple[Verdict, int]:
    """Return the verdict, and about how many more jobs of the new side it takes when it is inconclusive.

    It fails when the evidence says so, however few jobs there were. It passes with the plan's number of jobs in this
    step, when their share of bad ones is within the limit, or is sure enough to be within `excused`: a rate that lies
    at the limit would else hold for ever.
    """
    enough, new = threshold(plan), watch.new
    if watch.evidence.capital >= enough:
        return Verdict.FAIL, 0
    if new.jobs < plan.min_jobs:
        return Verdict.INCONCLUSIVE, plan.min_jobs - new.jobs
    if new.share <= limit or _upper(new, _SURE) <= excused:
        return Verdict.PASS, 0
    needed = more_jobs(watch.evidence, enough, growth(), new.jobs)
    if new.share < excused:
        wanted = _SURE**2 * new.share * (1 - new.share) / (excused - new.share) ** 2
        needed = min(needed, max(1, math.ceil(wanted - new.jobs)))
    return Verdict.INCONCLUSIVE, needed


def _upper(side: Side, deviations: float) -> float:
    """Return how high the true share may well be: the upper end of Wilson's interval."""
    square = deviations**2
    spread = deviations * math.sqrt(side.share * (1 - side.share) / side.jobs + square / (4 * side.jobs**2))
    return (side.share + square / (2 * side.jobs) + spread) / (1 + square / side.jobs)


def _failures(counts: Counts) -> Side:
    return Side(counts.ended, counts.failed)


def _slow(counts: Counts, bucket: int) -> Side:
    return Side(counts.duration.total, counts.duration.from_bucket(bucket))


def _late(counts: Counts, bucket: int) -> Side:
    return Side(counts.latency.total, counts.latency.from_bucket(bucket))
