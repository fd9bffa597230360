"""Two runs against each other, by ratio to a reference peer of the same run: that cancels most of the machine."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.figures import advantage
from bench.metrics import METRICS

if TYPE_CHECKING:
    from bench.results import Results

# The first that both runs have for a metric: the fastest peer; where that cannot take part, the limit of Redis, and the
# peer with the same carrier.
REFERENCES: Final = ("bullmq", "redis-limit", "dramatiq", "huey-sqlite", "potatoq-sqlite")
TOLERANCE: Final = 0.15
_SUBJECTS: Final = ("headway", "headway-sqlite")
_OF_SQLITE: Final = ("huey-sqlite", "potatoq-sqlite")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of Headway in both runs, as an advantage over the reference: more is better."""

    peer: str
    metric: str
    reference: str
    old: float
    new: float

    @property
    def factor(self) -> float:
        """1 is as before, 0.85 a loss of 15 %."""
        return self.new / self.old

    @property
    def lost(self) -> bool:
        """Whether it is worse by more than the tolerance."""
        return self.factor < 1 - TOLERANCE


def compare(old: Results, new: Results) -> list[Change]:
    """Return what can be compared: figures that both runs have of Headway and of one reference."""
    changes: list[Change] = []
    for metric in METRICS:
        for peer in _SUBJECTS:
            for reference in _references(peer):
                before, after = (
                    _standing(old, metric, peer, reference),
                    _standing(new, metric, peer, reference),
                )
                if before is not None and after is not None:
                    changes.append(Change(peer, metric, reference, before, after))
                    break
    return changes


def lost_metrics(old: Results, new: Results) -> list[str]:
    """Name figures of Headway that the old run has and the new one, which ran the same test, has not."""
    return [
        f"{peer}: {metric}"
        for metric, values in old.values.items()
        for peer in _SUBJECTS
        if peer in values and peer in new.peers and peer not in new.values.get(metric, {})
    ]


def describe(changes: list[Change]) -> str:
    """Return a table, the worst first."""
    lines = [f"{'':5} {'metric':20} {'peer':15} {'against':15} {'old':>9} {'new':>9} {'change':>8}"]
    lines += [
        f"{'LOST' if change.lost else '':5} {change.metric:20} {change.peer:15} {change.reference:15} "
        f"{change.old:8.2f}x {change.new:8.2f}x {change.factor - 1:+8.1%}"
        for change in sorted(changes, key=lambda change: change.factor)
    ]
    return "\n".join(lines)


def _references(peer: str) -> tuple[str, ...]:
    return _OF_SQLITE if peer == "headway-sqlite" else REFERENCES


def _standing(results: Results, metric: str, peer: str, reference: str) -> float | None:
    values = results.values.get(metric, {})
    own, other = values.get(peer), values.get(reference)
    if not own or not other:
        return None
    higher = METRICS[metric].higher_is_better
    return advantage(statistics.median(own), statistics.median(other), higher_is_better=higher)
