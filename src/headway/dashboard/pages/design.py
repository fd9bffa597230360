"""All components with sample values: for whoever changes them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.dashboard.charts import Chart, Mark, Series
from headway.dashboard.rendering import Finding
from headway.dashboard.spans import instants, span_of
from headway.job import JobState

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked

_FINDINGS: Final = (
    Finding(
        "bad",
        "Queue reports is served by nobody: 1,204 jobs wait, the oldest for 4 min.",
        "No worker that is alive asks for it. Start one, or name the queue to one that runs.",
        "/workers",
        "To the workers",
    ),
    Finding(
        "warn",
        "The roll-out of email to push was rolled back at 25 %.",
        "10.2 % of attempts failed, more than the limit of 1 %.",
        "/routes",
        "To the roll-out",
    ),
)


class Row(Struct, frozen=True):
    """A row of the sample table."""

    name: str
    sub: str
    waiting: int
    last: tuple[float, ...]
    oldest: int


_ROWS: Final = (
    Row("email", "main 90 %, push 10 %", 1204, (1, 4, 2, 6, 8, 3), 4_000),
    Row("reports\u202e<script>", "a name that would turn what follows", 3, (0, 0), 250_000),
)


async def design(asked: Asked) -> str:
    """Return the page."""
    at = instants(span_of("1h"), asked.now_ms)
    count = len(at)
    ended = Chart(
        "Attempts that ended",
        at,
        (
            Series("succeeded", tuple(900 + 300 * math.sin(n / 6) for n in range(count)), "good"),
            Series("failed", tuple(max(0.0, 40 * math.sin(n / 9)) for n in range(count)), "bad"),
        ),
        shape="bars",
    )
    gap = range(20, 26)
    wait = Chart(
        "Wait until start",
        at,
        (
            Series("p50", tuple(40 + 10 * math.sin(n / 4) for n in range(count)), "wait"),
            Series(
                "p95", tuple(None if n in gap else 200 + 90 * math.sin(n / 5) for n in range(count)), "later"
            ),
        ),
        unit="ms",
        marks=(Mark(at[count * 3 // 4], "the route was changed"),),
    )
    return asked.render(
        "design",
        "Design",
        findings=_FINDINGS,
        states=list(JobState),
        charts=[ended, wait],
        rows=_ROWS,
        now=asked.now_ms,
    )
