"""What is judged in a roll-out, and how a judgement reads."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator


class Guard(StrEnum):
    """What is guarded."""

    ERROR_RATE = "error rate"
    ERROR_RATE_OF_OTHER = "error rate against the other side"
    P95 = "p95 of the duration"
    P95_OF_OTHER = "duration against the other side's p95"
    QUEUE_LATENCY = "p95 of the queue latency"
    BACKLOG = "backlog"
    STALLED = "time in which nothing was started"


class Verdict(StrEnum):
    """What the data say of one limit."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Judgement(Struct, frozen=True, omit_defaults=True):
    """One limit at one look, with the figures it rests on: rates as shares, times in ms, the backlog in jobs.

    `value` is that of the new side in this step, `other` that of the other side, None where there is none. `jobs` are
    those of the new side in this step, `needed` about how many more it takes to tell, 0 when it can be told.
    """

    guard: Guard
    verdict: Verdict
    value: float
    limit: float
    jobs: int
    other: float | None = None
    needed: int = 0


def figures_in_words(judgements: tuple[Judgement, ...]) -> Iterator[str]:
    """Yield a line for each judgement, for people: `error rate 8.3 % of 120 jobs, limit 1.0 %: fail`."""
    for each in judgements:
        value, limit = _in_words(each.guard, each.value), _in_words(each.guard, each.limit)
        other = "" if each.other is None else f", other side {_in_words(each.guard, each.other)}"
        yield f"{each.guard} {value} of {each.jobs} jobs{other}, limit {limit}: {each.verdict}"


def _in_words(guard: Guard, value: float) -> str:
    match guard:
        case Guard.ERROR_RATE | Guard.ERROR_RATE_OF_OTHER:
            return f"{value * 100:.1f} %"
        case Guard.BACKLOG:
            return f"{value:.0f}"
        case Guard.P95 | Guard.P95_OF_OTHER | Guard.QUEUE_LATENCY | Guard.STALLED:
            return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"  # noqa: PLR2004 - ms of a second
