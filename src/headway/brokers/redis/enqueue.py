"""Accept jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.base import Enqueued
from headway.brokers.redis.records import UNIQUE_MODES
from headway.brokers.redis.session import Kind
from headway.errors import BrokerRefusedError
from headway.job import JobId
from headway.schedules.fires import early

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.call import Argument, Call
    from headway.job import NewJob

MODES: Final = {mode: letter for letter, mode in UNIQUE_MODES.items()}
# The numbers of kinds change once when the server was emptied; more often only if it is emptied all the time.
TRIES: Final = 3
_MAX_PLAIN: Final = 1000  # jobs; twice as many values fit on Lua's stack
_MAX_BLOCKING: Final = 16 * 1024  # bytes: what an idle socket takes at once
_ACCEPTED: Final = 0  # answers of enqueue_plain.lua
_OTHER_NUMBERS: Final = 1


async def enqueue(session: Session, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Accept all jobs or none, in a single script call."""
    if not jobs:
        return []
    if len(jobs) == 1:
        return await _enqueue(session, jobs)
    first = {job.id: job for job in reversed(jobs)}
    if len(first) == len(jobs):
        return await _enqueue(session, jobs)
    each_once = [first.pop(job.id) for job in jobs if job.id in first]
    answers = {one.id: one for one in await _enqueue(session, each_once)}
    return [answers[job.id] for job in jobs]


def enqueue_blocking(session: Session, job: NewJob) -> bool:
    """Accept a plain job (payload alone) without the loop, from any thread; false: use `enqueue`.

    It may have been accepted all the same; `enqueue` notices that, by its id.
    """
    if len(job.payload) > _MAX_BLOCKING or session.records_events or not _is_plain(job):
        return False
    known = _known_kind(session, job)
    if known is None:
        return False
    kind, number = known
    answer = session.run_blocking("enqueue_plain", *_plain_arguments([job], kind, number))
    return bool(answer == _ACCEPTED)


def begin(session: Session, jobs: Sequence[NewJob]) -> asyncio.Future[list[Enqueued] | None] | None:
    """Send plain jobs (payload alone) of one known kind at once; None, now or from the future: use `enqueue`."""
    if not jobs or not _are_plain(session, jobs) or len({job.id for job in jobs}) < len(jobs):
        return None
    known = _known_kind(session, jobs[0])
    if known is None:
        return None
    kind, number = known
    accepted: list[Enqueued] = []

    def read(answer: int) -> list[Enqueued] | Call | None:
        if answer == _ACCEPTED:
            return accepted
        if answer == _OTHER_NUMBERS:
            return None
        # Sent from here, not by the caller when it wakes: jobs sent later must not overtake these.
        return session.call(
            "enqueue", *arguments_of(session, jobs, {kind: number}), read=partial(_accepted, jobs)
        )

    arguments = _plain_arguments(jobs, kind, number)
    # `at_once`: later calls need not be waited for, they leave while the server works on this one.
    lone = len(jobs) == 1
    begun = session.submit("enqueue_plain", *arguments, at_once=True, look=lone, read=read)
    accepted += [Enqueued(job.id) for job in jobs]  # while the server is at work
    return begun


def _known_kind(session: Session, job: NewJob) -> tuple[Kind, bytes] | None:
    kind = Kind(job.priority, job.queue, job.task)
    number = session.known_number(kind)
    return None if number is None else (kind, number)


async def _enqueue(session: Session, jobs: Sequence[NewJob]) -> list[Enqueued]:
    plain = _are_plain(session, jobs)
    kinds = {Kind(job.priority, job.queue, job.task): None for job in (jobs[:1] if plain else jobs)}
    for _ in range(TRIES):
        numbers = await session.numbers(kinds)
        if plain:
            begun = begin(session, jobs)
            answers = None if begun is None else await begun
        else:
            answers = _accepted(jobs, await session.run("enqueue", *arguments_of(session, jobs, numbers)))
        if answers is not None:
            return answers
        session.forget_kinds()
    raise forgetful()


def forgetful() -> BrokerRefusedError:
    """Return the error for a server that has other numbers of kinds at each try."""
    return BrokerRefusedError("the server forgets what it was told: is somebody emptying it?")


def _accepted(jobs: Sequence[NewJob], answer: Any) -> list[Enqueued] | None:  # noqa: ANN401 - the script's answer
    """Read what enqueue.lua answers; None when it knows other numbers."""
    found = duplicates(jobs, answer)
    if found is None:
        return None
    accepted = [Enqueued(job.id) for job in jobs]
    for at, holder in found.items():
        accepted[at] = Enqueued(jobs[at].id, holder)
    return accepted


def duplicates(jobs: Sequence[NewJob], answer: Any) -> dict[int, JobId] | None:  # noqa: ANN401 - the script's answer
    """Return the indices of jobs that were not accepted, with the id each duplicates; empty: its key is not held."""
    if answer == b"KINDS":
        return None
    if isinstance(answer, bytes):
        fire = jobs[int(answer.removeprefix(b"FIRE")) - 1].fire
        assert fire is not None  # noqa: S101 - for the type checkers
        raise early(fire)
    return {
        int(place) - 1: JobId(holder.decode(errors="replace"))
        for place, holder in zip(answer[::2], answer[1::2], strict=True)
    }


def _are_plain(session: Session, jobs: Sequence[NewJob]) -> bool:
    """Tell whether the short script for plain jobs will most likely accept them."""
    return len(jobs) <= _MAX_PLAIN and not session.records_events and _are_plain_and_alike(jobs)


def _are_plain_and_alike(jobs: Sequence[NewJob]) -> bool:
    first = jobs[0]
    task, queue, priority = first.task, first.queue, first.priority
    for job in jobs:
        if job.task != task or job.queue != queue or job.priority != priority or not _is_plain(job):
            return False
    return True


def _is_plain(job: NewJob) -> bool:
    return (
        job.due_ms is None
        and job.expires_ms is None
        and job.key is None
        and job.unique is None
        and job.fire is None
        and job.past is None
    )


def _plain_arguments(jobs: Sequence[NewJob], kind: Kind, number: bytes) -> list[Argument]:
    arguments: list[Argument] = [number, kind.text(), f"{kind.priority}:{kind.queue}", kind.queue, len(jobs)]
    arguments += [job.id for job in jobs]
    head = number + b":"
    arguments += [head + job.payload for job in jobs]
    return arguments


def arguments_of(
    session: Session, jobs: Sequence[NewJob], numbers: dict[Kind, bytes], *, only_held: bool = False
) -> list[Argument]:
    """Return what enqueue.lua is called with. `only_held`: to leave out those whose unique key nobody holds."""
    known = {(kind.priority, kind.queue, kind.task): number for kind, number in numbers.items()}
    kept = session.retention
    arguments: list[Argument] = [kept.succeeded_ms, kept.failed_ms, len(numbers)]
    for kind, number in numbers.items():
        arguments += (number, kind.text())
    runs: list[list[Argument]] = []
    ids: list[Argument] = []
    blobs: list[Argument] = []
    special: list[Argument] = []
    last: bytes | None = None
    length = 0
    for place, job in enumerate(jobs, 1):
        number = known[job.priority, job.queue, job.task]
        if number != last:
            if last is not None:
                runs.append([last, length])
            last, length = number, 0
        length += 1
        ids.append(job.id)
        blobs.append(b"%b:%b" % (number, job.payload))
        if not _is_plain(job):
            special += _special(place, job, only_held=only_held)
    if last is not None:
        runs.append([last, length])
    arguments.append(len(runs))
    for run in runs:
        arguments += run
    arguments.append(len(jobs))
    arguments += ids
    arguments += blobs
    arguments += special
    return arguments


def _special(place: int, job: NewJob, *, only_held: bool) -> tuple[Argument, ...]:
    unique, fire = job.unique, job.fire
    due = "" if job.due_ms is None else job.due_ms
    expires = "" if job.expires_ms is None else job.expires_ms
    mode, window = ("", 0) if unique is None else (MODES[unique.mode], unique.window_ms)
    mode = mode.upper() if only_held else mode
    past = job.past
    entry: tuple[Argument, ...] = (
        place if past is None else f"p{place}",
        f"{due}|{expires}|{mode}|{window}|{'' if fire is None else fire.at_ms}",
        "" if job.key is None else f"={job.key}",
        "" if unique is None else unique.key,
        "" if fire is None else fire.schedule,
    )
    return entry if past is None else (*entry, past.epoch, past.attempt, past.crashes, past.history)
