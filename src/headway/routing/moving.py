"""Taking the waiting jobs of a queue over to another carrier of the app, each once, whatever happens on the way.

A job is withdrawn here, enqueued there under its own id, then its trace here is removed. The trace says where it went
and holds all of it, so whoever comes later finishes what was interrupted; the id makes the second try harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import JobQuery
from headway.errors import (
    BrokerRefusedError,
    ConfigError,
    EnqueueError,
    PartlyAcceptedError,
)
from headway.job import JobState
from headway.routing.carriers.sides import MOVED_TO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from headway.brokers.base import Enqueued, Mover, Store
    from headway.job import JobId, JobRecord

_BATCH: Final = 200
_WAITING: Final = (JobState.READY, JobState.SCHEDULED)


class Moved(Struct, frozen=True):
    """What a move came to."""

    moved: int = 0
    resumed: int = 0  # of these, so many had been withdrawn by a move before that was interrupted
    left: int = 0  # began, ended, or are bound to their carrier
    refused: tuple[
        tuple[str, str], ...
    ] = ()  # ids that the other carrier does not take, with why; they wait as before


async def move_waiting(
    carriers: Mapping[str, Store],
    queue: str,
    source: str,
    target: str,
    *,
    told: Callable[[Moved], None] | None = None,
) -> Moved:
    """Move all jobs of the queue that wait on `source` to `target`; what arrives meanwhile is moved as well, once.

    Two moves at once do not fight. ConfigError when the carriers are not there or the first one cannot give jobs away.
    BrokerError when one of them fails: the same call goes on where this one ended. `told` hears of each batch.
    """
    mover = _mover(carriers, source, target)
    here, there = carriers[source], carriers[target]
    reason = f"{MOVED_TO}{target}"
    done = Moved()
    async for batch in _withdrawn(here, queue, reason):
        done = _added(done, await _take_over(mover, here, there, batch, reason), resumed=len(batch))
        if told is not None:
            told(done)
    seen: set[JobId] = set()
    async for batch in _waiting(here, queue, seen):
        done = _added(done, await _take_over(mover, here, there, batch, reason))
        if told is not None:
            told(done)
    return done


def _mover(carriers: Mapping[str, Store], source: str, target: str) -> Mover:
    for name in (source, target):
        if name not in carriers:
            msg = f"there is no carrier {name!r}; the carriers are {', '.join(carriers)}"
            raise ConfigError(msg)
    if source == target:
        msg = f"the jobs are on {source!r} already; name two carriers"
        raise ConfigError(msg)
    mover = carriers[source].capabilities.mover
    if mover is None:
        msg = f"carrier {source!r} cannot give jobs away: they are to run where they are"
        raise ConfigError(msg)
    return mover


async def _withdrawn(here: Store, queue: str, reason: str) -> AsyncIterator[list[JobId]]:
    """Yield what an interrupted move left behind."""
    query = JobQuery(states=(JobState.CANCELLED,), queues=(queue,))
    after: str | None = None
    while True:
        page = await here.list(query, after=after, limit=_BATCH)
        if found := [one.id for one in page.jobs if one.withdrawn and one.reason == reason]:
            yield found
        if page.cursor is None:
            return
        after = page.cursor


async def _waiting(here: Store, queue: str, seen: set[JobId]) -> AsyncIterator[list[JobId]]:
    """Yield the jobs that wait, each once, until no further ones are found."""
    query = JobQuery(states=_WAITING, queues=(queue,))
    while True:
        before, after = len(seen), None
        while True:
            page = await here.list(query, after=after, limit=_BATCH)
            if found := [one.id for one in page.jobs if one.id not in seen]:
                seen.update(found)
                yield found
            if page.cursor is None:
                break
            after = page.cursor
        if len(seen) == before:
            return


async def _take_over(mover: Mover, here: Store, there: Store, ids: Sequence[JobId], reason: str) -> Moved:
    records = [one for one in await mover.withdraw(ids, reason) if one is not None]
    refused = await _enqueue(there, records)
    for record in records:
        if record.id in refused:
            await here.enqueue([record.as_new()])  # back, with all that it had
    gone = [record.id for record in records if record.id not in refused]
    await here.remove(gone)
    return Moved(moved=len(gone), left=len(ids) - len(records), refused=tuple(refused.items()))


async def _enqueue(there: Store, records: Sequence[JobRecord]) -> dict[JobId, str]:
    """Enqueue the jobs; return those that are refused, each with the reason."""
    refused = {record.id: why for record in records if (why := _unfit(there, record))}
    fitting = [record for record in records if record.id not in refused]
    answers: list[Enqueued] = []
    try:
        if fitting:
            answers += await there.enqueue([record.as_new() for record in fitting])
    except (EnqueueError, BrokerRefusedError, PartlyAcceptedError):
        for record in fitting:  # which one it was, nobody said
            try:
                answers += await there.enqueue([record.as_new()])
            except (EnqueueError, BrokerRefusedError) as error:
                refused[record.id] = str(error)
    # A duplicate is not there: it was accepted as a job of its own, and has to run where it was.
    for one in answers:
        if one.duplicate_of is not None and one.duplicate_of != one.id:
            refused[one.id] = f"job {one.duplicate_of} holds its key there"
    return refused


def _unfit(there: Store, record: JobRecord) -> str:
    """Say what the carrier cannot do of what the job needs; empty: it can."""
    limits = there.capabilities
    if record.unique is not None and not limits.unique:
        return f"{limits.name} has no unique jobs"
    if len(record.payload) > limits.max_payload:
        return f"{limits.name} takes payloads of {limits.max_payload} bytes, this has {len(record.payload)}"
    return ""


def _added(done: Moved, more: Moved, *, resumed: int = 0) -> Moved:
    return Moved(
        moved=done.moved + more.moved,
        resumed=done.resumed + min(resumed, more.moved),
        left=done.left + more.left,
        refused=(*done.refused, *more.refused),
    )
