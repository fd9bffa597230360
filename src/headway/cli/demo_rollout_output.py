"""What the demo of a roll-out shows at its end: the account by carrier, the decisions, and a chart."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from headway.cli.output import Column, alarming, fitting, print_table, printable
from headway.cli.streams import emit
from headway.demo.push_place import CLOUD
from headway.routing.rollout.judgement import figures_in_words
from headway.routing.rollout.rollout import Act

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headway.demo.ledger import Ledger
    from headway.demo.rolling import RollingOutcome
    from headway.demo.rolling_curve import Moment

_LEVELS: Final = (
    100,
    75,
    50,
    25,
)  # percent at which a line of the chart is marked; below them is one for the rest
_RULER: Final = 10  # columns between two numbers below the chart


def print_rolling(outcome: RollingOutcome) -> None:
    """Print it all."""
    emit("\nThe decisions, and the figures that they rest on:")
    for number, told in enumerate(outcome.rollouts, 1):
        emit(f"\n  roll-out {number}: {told.status}")
        for made in told.decisions:
            if made.act is Act.HOLD:
                continue
            emit(printable(f"  {(made.at_ms - outcome.started_ms) / 1000:5.1f} s  {made.act}: {made.reason}"))
            emit(printable(f"           {made.text}"))
            if made.act is not Act.ROLL_BACK:  # what was broken is its text
                for line in figures_in_words(made.judgements):
                    emit(printable(f"           {line}"))
    emit("")
    for line in chart(outcome.moments, list(outcome.carriers), fitting(sys.stdout, "\N{FULL BLOCK}", "#")):
        emit(line)
    emit("\nThe account, from the stores:")
    rows = [*outcome.carriers.items(), ("both", outcome.ledger)]
    print_table(
        [
            Column("carrier"),
            Column("accepted", right=True),
            Column("completed", right=True),
            Column("attempts", right=True),
            Column("retries", right=True),
            Column("lost", right=True, colour=alarming),
            Column("completed twice", right=True, colour=alarming),
        ],
        [[name, *_numbers(ledger)] for name, ledger in rows],
        empty="",
    )
    emit(f"\n{outcome.seconds:.0f} s in all")


def chart(moments: Sequence[Moment], carriers: Sequence[str], mark: str) -> Iterator[str]:
    """Yield the lines of bar charts, one below the other: the weight of the new side, and each side's error rate."""
    yield from _bars(f"share of {CLOUD}, %", [float(one.percent) for one in moments], mark)
    for name in carriers:
        rates = [one.error_rate(name) for one in moments]
        yield ""
        yield from _bars(
            f"errors on {name}, %", [None if rate is None else rate * 100 for rate in rates], mark
        )
    span = moments[0].seconds if moments else 1
    ruler = "".join(f"{column * span:<{_RULER}}" for column in range(0, len(moments), _RULER))
    yield f"{'':6}{ruler.rstrip()} seconds"


def _bars(title: str, values: Sequence[float | None], mark: str) -> Iterator[str]:
    """Yield a bar for each value from 0 to 100; where there is none, the axis has a gap."""
    yield title
    for label, least in (*((f"{level:4}", float(level)) for level in _LEVELS), ("  >0", 1e-9)):
        bars = "".join(mark if value is not None and value >= least else " " for value in values)
        yield f"{label} |{bars}".rstrip()
    yield f"   0 +{''.join(' ' if value is None else '-' for value in values)}".rstrip()


def _numbers(ledger: Ledger) -> list[str]:
    counted = (ledger.accepted, ledger.completed, ledger.attempts, ledger.retries)
    return [str(number) for number in (*counted, ledger.lost, ledger.completed_twice)]
