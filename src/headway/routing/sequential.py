"""Tests that may be looked at after every job and stopped at any time, at a stated rate of false alarms.

A test here is a bet against the claim that all is well (*testing by betting*: Waudby-Smith and Ramdas, "Estimating
means of bounded random variables by betting", JRSS B 2024, arXiv:2010.09686). It begins with a capital of 1. While
the claim is true, no strategy makes the capital grow on average, so by Ville's inequality (1939) the probability that
it *ever* reaches 1/a, over all looks and all times, is at most a. When it does, the claim is refused. Nothing depends
on when one looks, how often, or how many jobs were planned; the false alarms of a test of fixed size grow with each
look (Johari, Pekelis and Walsh, "Always valid inference", Operations Research 2022, arXiv:1512.04922).

**What is bet on.** Of n jobs that ended between two looks, x were bad: failed, or slower than a limit. Against the
claim "at most a share m is bad", each bad job multiplies the capital by 1 + s(1 - m) and each good one by 1 - sm. On
average that is 1 + s(p - m) for a job that is bad with probability p, so over the look at most exp(s * sum of (p -
m)), which is at most 1 as long as the *mean* of p over the look is at most m: how bad jobs are spread within a look
does not matter. The bet s is the one that makes the factor the likelihood ratio of a certain worse share to m, as in
Wald's test and in the mixture tests of Robbins (1970).

Against the claim "the new side's share is at most r times the other side's plus d" the same is done on both sides of
one look: bad jobs of the new side raise the capital with s, those of the other side lower it with t = r * s * (jobs
of the new side) / (jobs of the other). The average is then at most exp(s * jobs * (p - r*q - d)) <= 1, whatever the
true shares p and q are in that look: a load or a dependency that troubles both sides at once is no evidence. The
point around which the bets are made follows Turner, Ly and Grünwald, "Generic E-variables for exact sequential
k-sample tests", arXiv:2106.02693, and Turner and Grünwald, arXiv:2203.09785. Only what was seen *before* the look
goes into it; a bad choice costs power, never the rate of false alarms.

**How the capital is spread.** Equally over six alternatives, from 1.5 to 30 times the odds, because nobody knows how
bad it will be. And over time: a bet on a fault loses while all is well, and would need as long again to recover when
the fault comes late. So most of the capital waits in reserve, and a part of it is staked anew at each look: a mixture
over when the fault begins, as in Shiryaev's test and the e-detectors of Shin, Ramdas and Rinaldo, arXiv:2203.03532.
All stakes come from the one reserve, so that the whole is one bet with one rate of false alarms.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

ODDS: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""The alternatives: how many times the odds of a bad job are those of the limit."""
PATIENCE: Final = 50
"""At the i-th look of a step, one part in PATIENCE + i of the reserve is staked."""
_MOST: Final = 1e250
"""Where capital stops growing: far beyond any threshold, far below what a float can hold."""
_BISECTIONS: Final = 8


class Evidence(Struct, frozen=True, array_like=True):
    """The capital of one test: what is staked on each alternative, and what waits in reserve."""

    stakes: tuple[float, ...] = (0.0,) * len(ODDS)
    reserve: float = 1.0

    @property
    def capital(self) -> float:
        """The capital; under the claim it ever reaches 1/a with a probability of at most a."""
        return self.reserve + sum(self.stakes)


class Side(Struct, frozen=True, array_like=True):
    """Jobs of one side, and how many of them were bad."""

    jobs: int
    bad: int

    @property
    def share(self) -> float:
        """The share of bad ones; 0 of none."""
        return self.bad / self.jobs if self.jobs else 0.0

    def merged(self, other: Side) -> Side:
        """Return both together."""
        return Side(self.jobs + other.jobs, self.bad + other.bad)


def staked(evidence: Evidence, part: float) -> Evidence:
    """Return the evidence with this part (0 to 1) of the reserve staked, equally on all alternatives.

    The part may depend on anything that was known before the next look's jobs, not on them.
    """
    each = evidence.reserve * part / len(ODDS)
    return Evidence(tuple(stake + each for stake in evidence.stakes), evidence.reserve * (1 - part))


def against_limit(evidence: Evidence, new: Side, limit: float) -> Evidence:
    """Return the evidence after a look at jobs of which at most the share `limit` (0 to 1) is claimed to be bad."""
    return _grown(evidence, limit_growth(new, limit))


def limit_growth(new: Side, limit: float) -> tuple[float, ...]:
    """Return by how much, in logarithms, these jobs multiply what is staked on each alternative to the limit."""
    return tuple(
        new.bad * math.log(worse / limit) + (new.jobs - new.bad) * math.log((1 - worse) / (1 - limit))
        for worse in (_odds_times(limit, odds) for odds in ODDS)
    )


def against_other(evidence: Evidence, new: Side, other: Side, claim: Claim) -> Evidence:
    """Return the evidence after a look at both sides; without jobs on either of them it stays as it was."""
    return _grown(evidence, other_growth(new, other, claim))


class Claim(Struct, frozen=True):
    """That the share of the new side is at most `times` that of the other side, plus `points`.

    `expected` is the other side's share as it was seen before the look: it makes the bets good, not valid.
    """

    expected: float
    times: float = 1.0
    points: float = 0.0

    def bound(self, share: float) -> float:
        """Return the largest share of the new side that is well, when this is the other side's."""
        return self.times * share + self.points


def other_growth(new: Side, other: Side, claim: Claim) -> tuple[float, ...]:
    """Return by how much, in logarithms, this look multiplies what is staked on each alternative to the claim."""
    if not new.jobs or not other.jobs:
        return (0.0,) * len(ODDS)
    expected = min(max(claim.expected, 1e-6), 0.5)
    return tuple(_growth(new, other, claim, expected, odds) for odds in ODDS)


def _growth(new: Side, other: Side, claim: Claim, expected: float, odds: float) -> float:
    """Bet around the point of the claim that lies between what is expected of the other side and the alternative."""
    worse = _odds_times(min(claim.bound(expected), 0.5), odds)
    if worse <= claim.bound(expected):
        return 0.0  # so many are bad on the other side that nothing worse can be bet on
    ratio = claim.times * new.jobs / other.jobs
    low, high = expected, (worse - claim.points) / claim.times
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        at = claim.times * middle + claim.points
        if (middle - expected) / (middle * (1 - middle)) > ratio * (worse - at) / (at * (1 - at)):
            high = middle
        else:
            low = middle
    at = claim.bound(low)
    bet = (worse - at) / (at * (1 - at))
    bet = min(bet, 0.99 / (ratio * (1 - low)))  # bad jobs of the other side must not take more than there is
    counter = ratio * bet
    return (
        new.bad * math.log1p(bet * (1 - at))
        + (new.jobs - new.bad) * math.log1p(-bet * at)
        + other.bad * math.log1p(-counter * (1 - low))
        + (other.jobs - other.bad) * math.log1p(counter * low)
    )


def more_jobs(evidence: Evidence, threshold: float, growth: tuple[float, ...], jobs: int) -> int:
    """Return about how many more jobs it takes to refuse a claim, if they go on like these, which had that growth.

    It is as many again when these would never do, because that is too close to call.
    """
    best = max(growth) / jobs if jobs else 0.0
    missing = math.log(threshold / evidence.capital)
    return max(1, jobs if best <= 0 else min(math.ceil(missing / best), 1_000_000_000))


def _odds_times(share: float, odds: float) -> float:
    """Return the share whose odds are so many times those of the given one."""
    return odds * share / (1 - share + odds * share)


def _grown(evidence: Evidence, growth: tuple[float, ...]) -> Evidence:
    return Evidence(
        tuple(
            min(stake * math.exp(min(by, 500.0)), _MOST)
            for stake, by in zip(evidence.stakes, growth, strict=True)
        ),
        evidence.reserve,
    )
