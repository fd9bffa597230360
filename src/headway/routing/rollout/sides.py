"""The two sides of a roll-out: the carrier that the queue goes to, and all others that it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from headway.figures.values import Counts

if TYPE_CHECKING:
    from headway.figures.values import Figures
    from headway.routing.rollout.plan import Plan


class Sides(Struct, frozen=True, array_like=True):
    """Figures of the queue on the new side and on all other carriers."""

    new: Counts = Counts()
    other: Counts = Counts()

    def since(self, earlier: Sides) -> Sides:
        """Return what has come since."""
        return Sides(self.new.since(earlier.new), self.other.since(earlier.other))


def sides_of(figures: Figures, plan: Plan, since_minute: int) -> Sides:
    """Return the totals of the plan's queue on the new side and on all others, from a minute since 1970 on."""
    others = {row.carrier for row in figures.rows} - {plan.to}
    return Sides(
        figures.of(queue=plan.queue, carriers={plan.to}, since=since_minute),
        figures.of(queue=plan.queue, carriers=others, since=since_minute),
    )
