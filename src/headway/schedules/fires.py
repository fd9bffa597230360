"""What a carrier makes of fire times that lie in the future of its clock: the host that names one has a wrong clock.

Were such a fire accepted, its schedule would be silent for all hosts until that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.errors import BrokerRefusedError

if TYPE_CHECKING:
    from headway.job import Fire

MAX_AHEAD_MS: Final = 60_000
"""By which a host's clock may be ahead of the carrier's. The scripts in Lua have the same number."""


def check_fire(fire: Fire, now_ms: int) -> None:
    """Refuse a fire time that lies in the future of the carrier's clock."""
    if fire.at_ms > now_ms + MAX_AHEAD_MS:
        raise early(fire)


def early(fire: Fire) -> BrokerRefusedError:
    """Word the refusal."""
    return BrokerRefusedError(
        f"a fire of schedule {fire.schedule!r} was refused: its time lies in the future of the carrier's clock; "
        "set the clock of this host"
    )


def last_fire(at_ms: int | None, now_ms: int) -> int | None:
    """Return the last fire time that is kept, unless it lies in the future: then no later one would ever be accepted.

    Such a time was written while the carrier's clock was ahead, or by a Headway that did not refuse it.
    """
    return None if at_ms is None or at_ms > now_ms + MAX_AHEAD_MS else at_ms
