"""Giving waiting jobs away to another carrier of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from headway.guards.desk import Acted
from headway.guards.document import PushedJob
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.cloudtasks.guard import Keeping
    from headway.brokers.cloudtasks.manage import Acts
    from headway.clock import Clock
    from headway.guards.desk import Withdrawn
    from headway.job import JobId, JobRecord


class Withdrawal:
    """Withdraws jobs.

    The guard notes first that the job has ended here, then its task is deleted; its key is held until it is removed.
    So a delivery that comes in between, or whose task could not be deleted, finds the job complete and runs nothing: it
    cannot be doubled. One that dies in between leaves a record with the whole job, under the reason of the move: it
    cannot be lost. A delivery that came first holds the job, and it stays.
    """

    def __init__(self, acts: Acts, keeping: Keeping, clock: Clock) -> None:
        self._acts = acts
        self._keeping = keeping
        self._clock = clock

    async def withdraw(self, ids: Sequence[JobId], reason: str) -> list[JobRecord | None]:
        """End waiting jobs; return them as they were, also those that were withdrawn before under this reason."""
        guard = await self._keeping.guard("moving jobs to another carrier")
        unique = list(dict.fromkeys(ids))
        withdrawn = dict(zip(unique, await guard.desk.withdraw(unique, reason), strict=True))
        await self._acts.leave([_left(one) for one in withdrawn.values()])
        unknown = [job_id for job_id, one in withdrawn.items() if not one.known]
        for job in await self._acts.undelivered(guard, unknown):
            pushed = job.pushed
            if (
                job.state(self._clock.now_ms()) is JobState.READY
            ):  # perhaps promoted: its due time counts no more
                pushed = PushedJob(replace(pushed.job, due_ms=None), pushed.turn)
            one = withdrawn[job.id] = await guard.desk.withdraw_waiting(pushed, reason)
            await self._acts.leave([_left(one)], job)
        return [withdrawn[job_id].before for job_id in ids]


def _left(withdrawn: Withdrawn) -> Acted:
    return Acted(done=withdrawn.before is not None, left=withdrawn.left)
