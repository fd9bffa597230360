"""What the death of a worker process means for the jobs that it had started: one pure decision.

`docs/explanation/deaths.md` has the table. In short: an exit code means nothing, because a handler can choose it; a
process ended in order only if it said goodbye; what we ended ourselves is no crash of any job; and a job that runs in a
process of its own is never suspected of having ended its worker.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct

from headway.job import JobId
from headway.runtime.slots import Started

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_ISOLATE_FROM: Final = (
    2  # crashes: one may be a neighbour's doing, so may the second; the third is the job's own
)


class Cause(Enum):
    """Who ended the process."""

    ITSELF = auto()  # unasked: a crash, the kernel, an exit in a handler
    IN_ORDER = auto()  # it drained, handed back what was left, and said goodbye
    STOPPED = auto()  # by its supervisor: its grace was over, the second signal came, or the supervisor ends
    OVERDUE = auto()  # by its supervisor, for jobs that did not end at their limit


class Blame(Struct, frozen=True):
    """The jobs that are charged. All others that the process held come back at once and are charged nothing.

    `crashed` count one crash more. `timed_out` have used up an attempt: their retry policy is asked.
    """

    crashed: list[JobId] = []
    timed_out: list[Started] = []


def blame(
    cause: Cause, started: Sequence[Started], overdue: Collection[JobId] = (), *, known: bool = True
) -> Blame:
    """Decide which jobs the death of a process is charged to.

    `started` are the jobs that were started there and had not ended, `overdue` those for which it was ended. `known` is
    false when the process could not say what it was doing, because something held the GIL: then an overdue job is
    perhaps one that was kept from ending, unless it was the only one there.
    """
    suspects = [job for job in started if not job.apart]
    match cause:
        case Cause.IN_ORDER | Cause.STOPPED:
            return Blame()
        case Cause.ITSELF:
            return Blame(crashed=[job.job_id for job in suspects])
        case Cause.OVERDUE:
            late = [job for job in started if job.job_id in overdue]
            if known or len(suspects) <= 1:
                return Blame(timed_out=late)
            return Blame(crashed=[job.job_id for job in late])
        case _:
            assert_never(cause)


def runs_alone(crashes: int, max_crashes: int) -> bool:
    """Tell whether a job with so many crashes runs in a process of its own, where none harms another.

    From the second crash on, or from the last but one that `max_crashes` allows. So neighbours can cost a job two
    crashes and no more, and with `max_crashes` of 2 or above nobody is put aside for what another job did.
    """
    return crashes >= max(1, min(_ISOLATE_FROM, max_crashes - 1))
