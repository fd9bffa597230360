"""What is done to jobs that are there: cancelled, retried, promoted, removed, changed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct

from headway.job import JobId, JobState
from headway.server.services.problems import ConflictError, NotFoundError
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.job import JobRecord
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

MOST: Final = 1000
"""Jobs named in one call."""


class JobAct(StrEnum):
    """What is done to jobs."""

    CANCEL = "cancel"  # waiting ones at once, running ones are asked
    RETRY = "retry"  # failed, cancelled or expired ones get a new life
    PROMOTE = "promote"  # scheduled ones are ready now
    REMOVE = "remove"  # those that do not run are forgotten, with their results


class Acted(Struct, frozen=True):
    """What became of one job. `state` is the one before, for `cancel` the one after the request; null: unknown."""

    id: str
    done: bool
    state: JobState | None


class JobActs:
    """Acts on jobs by their ids."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def one(self, caller: Caller, act: JobAct, job_id: JobId, reason: str = "") -> Acted:
        """Act on one job. NotFoundError; ConflictError says in which state it is, and nothing was changed."""
        (acted,) = await self.many(caller, act, [job_id], reason)
        if acted.state is None:
            msg = f"there is no job {job_id}: never accepted, removed, or pruned after its time"
            raise NotFoundError(msg)
        if not acted.done:
            msg = f"job {job_id} is {acted.state}: it cannot be {_PAST[act]}"
            raise ConflictError(msg)
        return acted

    async def many(self, caller: Caller, act: JobAct, ids: Sequence[JobId], reason: str = "") -> list[Acted]:
        """Act on jobs; tell for each whether it was done. Nothing is raised for single ones."""
        found = await self._shared.visible(caller, ids)
        there = [one for one in dict.fromkeys(ids) if one in found]
        before = {one: record.state for one, (_, record) in found.items()}
        done, after = await act_on(self._shared, act, there, before, reason)
        for one in there:
            if done[one]:
                await self._shared.audit.note(
                    caller,
                    f"jobs.{act}",
                    f"job {one}",
                    before=_shown(found[one][1]),
                    after={"state": after.get(one), "reason": reason}
                    if reason
                    else {"state": after.get(one)},
                )
        states: Mapping[JobId, JobState | None] = after if act is JobAct.CANCEL else before
        return [Acted(one, done.get(one, False), states.get(one)) for one in ids]


async def act_on(
    shared: Shared, act: JobAct, ids: Sequence[JobId], before: Mapping[JobId, JobState], reason: str
) -> tuple[dict[JobId, bool], dict[JobId, JobState | None]]:
    """Act on jobs that are there; return for each whether it was done, and its state afterwards."""
    if not ids:
        return {}, {}
    carrier = shared.carrier
    match act:
        case JobAct.CANCEL:
            answers = await carrier.cancel(ids, storable(reason))
            after = {answer.id: answer.state for answer in answers}
            done = {
                one: not before[one].terminal and after.get(one) in {JobState.CANCELLED, JobState.RUNNING}
                for one in ids
            }
            return done, after
        case JobAct.RETRY:
            told = await carrier.retry(ids)
        case JobAct.PROMOTE:
            told = await carrier.promote(ids)
        case JobAct.REMOVE:
            told = await carrier.remove(ids)
        case _:
            assert_never(act)
    done = dict(zip(ids, told, strict=True))
    state = None if act is JobAct.REMOVE else JobState.READY
    return done, {one: state if done[one] else before[one] for one in ids}


def _shown(record: JobRecord) -> dict[str, object]:
    return {"state": record.state, "task": record.task, "queue": record.queue, "attempt": record.attempt}


_PAST: Final = {
    JobAct.CANCEL: "cancelled",
    JobAct.RETRY: "retried",
    JobAct.PROMOTE: "promoted",
    JobAct.REMOVE: "removed",
}
