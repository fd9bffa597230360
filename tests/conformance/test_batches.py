"""One bad item is refused alone, in every batch there is: values of user types, hostile text, numbers without bounds."""

from __future__ import annotations

import asyncio
import contextlib
import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from headway.app.accepting import enqueuer_of
from headway.app.batching import Batcher
from headway.brokers.base import JobQuery, LogLine, Progress, Report, Settlement
from headway.errors import BrokerRefusedError, BrokerUnavailableError
from headway.job import (
    Cancelled,
    Failed,
    Fire,
    JobId,
    JobState,
    Outcome,
    RetryAt,
    Succeeded,
    UniqueLock,
    UniqueMode,
    WorkerId,
)
from tests.conformance.scene import HOUR, Scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.job import NewJob


class Text(str):
    """A string of a library's own, such as numpy's."""

    __slots__ = ()


class Number(float):
    """A number of a library's own, such as numpy's."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"


class Odd:
    """Nothing that a carrier knows."""

    def __repr__(self) -> str:
        return "Odd()"


LONE = "\ud800"  # half of a pair: no encoding has it
HUGE = 2**70
HOSTILE = [LONE, f"a{LONE}b", "a\x00b", "", Text("a"), "x" * 10_000]


def _altered(scene: Scene, **fields: Any) -> NewJob:
    job = scene.job(queue=fields.pop("queue", "q"))
    return type(job)(**{name: fields.get(name, getattr(job, name)) for name in job.__struct_fields__})


async def _together(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """Make the calls in one turn, so that they travel together; their answers, or their errors."""
    return await asyncio.gather(*calls, return_exceptions=True)


def _is_refused(answer: object) -> bool:
    """Whether the item was refused: definitely, so that nobody repeats it for ever."""
    assert not isinstance(answer, BrokerUnavailableError), answer
    assert not isinstance(answer, BaseException) or isinstance(answer, Exception), answer
    return isinstance(answer, Exception)


async def _all_is_readable(scene: Scene, ids: Sequence[JobId]) -> None:
    for job_id in ids:
        await scene.record(job_id)
    assert set(ids) <= {job.id for job in (await scene.carrier.list(JobQuery())).jobs}


@pytest.mark.parametrize(
    "fields",
    [
        *({"queue": text} for text in HOSTILE),
        *({"task": text} for text in HOSTILE),
        *({"key": text} for text in HOSTILE),
        *({"due_ms": number} for number in (HUGE, -HUGE)),
        *({"expires_ms": number} for number in (HUGE, -HUGE)),
        {"priority": HUGE},
        {"id": JobId(f"{LONE}abc")},
        {"fire": Fire(LONE, 1)},
        {"fire": Fire("s", HUGE)},
        *(
            pytest.param({"unique": UniqueLock(text, UniqueMode.REJECT)}, marks=pytest.mark.needs("unique"))
            for text in HOSTILE
        ),
    ],
    ids=ascii,
)
async def test_a_job_that_cannot_be_stored_is_refused_alone(scene: Scene, fields: dict[str, Any]) -> None:
    enqueuer = enqueuer_of(scene.carrier)
    bad = _altered(scene, **fields)
    jobs = [scene.job(queue="beside"), bad, scene.job(queue="beside"), scene.job(queue="beside")]
    answers = await _together([enqueuer.add(job) for job in jobs])
    refused = [_is_refused(answer) for answer in answers]
    assert [refused[0], *refused[2:]] == [False] * 3
    good = [job.id for job in jobs if job is not bad]
    assert scene.ordered(await scene.take_ids(queue="beside")) == scene.ordered(good)
    await _all_is_readable(scene, good if refused[1] else [*good, bad.id])


async def test_many_bad_jobs_among_good_ones_are_refused_alone(scene: Scene) -> None:
    enqueuer = enqueuer_of(scene.carrier)
    jobs = [_altered(scene, key=LONE) if number % 3 == 1 else scene.job() for number in range(60)]
    answers = await _together([enqueuer.add(job) for job in jobs])
    good = [job.id for job in jobs if job.key is None]
    assert [_is_refused(answer) for answer in answers] == [job.key is not None for job in jobs]
    assert sorted(await scene.take_ids()) == sorted(good)


@pytest.mark.needs("atomic")
async def test_a_call_with_a_bad_job_accepts_none_and_names_it(scene: Scene) -> None:
    """Promise 1: all or none, in a call of one caller."""
    jobs = [scene.job(), _altered(scene, key=LONE), scene.job()]
    with pytest.raises(Exception, match=r"surrogate|cannot be stored|key") as refused:
        await scene.carrier.enqueue(jobs)
    assert not isinstance(refused.value, BrokerUnavailableError)
    assert await scene.states([job.id for job in jobs]) == [None] * 3


@pytest.mark.parametrize(
    "values",
    [
        *(
            (Progress, fraction, "half")
            for fraction in (Number(0.5), Decimal("0.5"), Fraction(1, 2), True, 1)
        ),
        *((Progress, fraction, "half") for fraction in (HUGE, math.nan, math.inf, 1j, "0.5", None, Odd())),
        *((Progress, 0.5, text) for text in HOSTILE),
        *((LogLine, 1, text, "line") for text in HOSTILE),
        *((LogLine, 1, "info", text) for text in HOSTILE),
        (LogLine, 1, "info", None),
    ],
    ids=lambda values: ascii(values)[:70],
)
async def test_a_report_that_cannot_be_stored_is_refused_alone(scene: Scene, values: tuple[Any, ...]) -> None:
    """Most are refused where they are made, which is in their job."""
    kind, *arguments = values
    try:
        content = kind(*arguments)
    except (TypeError, ValueError):
        assert HUGE in arguments or "half" in arguments or None in arguments
        return
    await scene.put_many(3)
    first, odd, last = await scene.take()
    reporter: Batcher[Report, Any] = Batcher(scene.carrier.report, parallel=1)
    reports = [
        Report(first.lease, LogLine(1, "info", "before")),
        Report(odd.lease, content),
        Report(last.lease, Progress(0.25, "quarter")),
        Report(first.lease, LogLine(2, "info", "after")),
    ]
    answers = await _together([reporter.add(report) for report in reports])
    assert [answer.applied for answer in answers] == [True] * 4
    assert [line.message for line in await scene.carrier.logs(first.lease.job_id)] == ["before", "after"]
    assert (await scene.record(last.lease.job_id)).progress == 0.25
    progress = (await scene.record(odd.lease.job_id)).progress
    assert progress is None if kind is LogLine else progress in (0.5, 1.0, float(HUGE))
    assert len(await scene.carrier.logs(odd.lease.job_id)) == (kind is LogLine)
    for delivery in (first, odd, last):
        await scene.finish(delivery)


@pytest.mark.parametrize(
    "outcome",
    [
        *(Cancelled(text) for text in HOSTILE),
        RetryAt(HUGE),
        RetryAt(-HUGE),
        Succeeded(LONE),  # type: ignore[arg-type]
        Succeeded(Odd()),  # type: ignore[arg-type]
        Failed(LONE),  # type: ignore[arg-type]
    ],
    ids=lambda outcome: ascii(outcome)[:60],
)
async def test_an_outcome_that_cannot_be_stored_is_refused_alone(scene: Scene, outcome: Outcome) -> None:
    ids = await scene.put_many(4)
    deliveries = {delivery.lease.job_id: delivery for delivery in await scene.take()}
    settler: Batcher[Settlement, Any] = Batcher(scene.carrier.settle, parallel=1)
    bad = ids[1]
    answers = await _together(
        [
            settler.add(Settlement(deliveries[job_id].lease, outcome if job_id == bad else Succeeded(b"r")))
            for job_id in ids
        ]
    )
    refused = [_is_refused(answer) for answer in answers]
    assert [refused[0], *refused[2:]] == [False] * 3
    for job_id in ids:
        if job_id != bad:
            assert await scene.state(job_id) is JobState.SUCCEEDED
    if refused[1]:  # it is held as before, so that it can be ended in another way
        assert await scene.settle(deliveries[bad], Failed(b"h"))
    assert (await scene.record(bad)).state is not JobState.RUNNING


UNKNOWN = [JobId(text) for text in ("a\x00b", "", "x" * 10_000, Text("a"))]


async def test_ids_of_nothing_do_not_stand_in_the_way(scene: Scene) -> None:
    carrier = scene.carrier

    async def ask(act: Callable[[list[JobId]], Awaitable[list[Any]]], job_id: JobId) -> list[Any]:
        return await act([*UNKNOWN, job_id, *UNKNOWN])

    nothing = len(UNKNOWN)
    delayed = await scene.put(scene.job(due=HOUR))
    records = await ask(carrier.get, delayed)
    assert [record and record.id for record in records] == [*[None] * nothing, delayed, *[None] * nothing]
    no = [False] * nothing
    assert await ask(carrier.promote, delayed) == [*no, True, *no]
    cancelled = await ask(carrier.cancel, delayed)
    assert [one.state for one in cancelled] == [*[None] * nothing, JobState.CANCELLED, *[None] * nothing]
    assert await ask(carrier.retry, delayed) == [*no, True, *no]
    assert await ask(carrier.remove, delayed) == [*no, True, *no]
    for job_id in UNKNOWN:
        assert await carrier.wait_finished(job_id, 0) is None
        assert await carrier.logs(job_id) == []


async def test_an_id_that_no_encoding_has_is_unknown_or_refused(scene: Scene) -> None:
    job_id = await scene.put()
    with contextlib.suppress(BrokerRefusedError):
        assert (await scene.carrier.cancel([JobId(LONE), job_id]))[0].state is None
    with contextlib.suppress(BrokerRefusedError):
        assert await scene.carrier.get([JobId(LONE)]) == [None]
    await _all_is_readable(scene, [job_id])


@pytest.mark.needs("pull")
async def test_a_dead_workers_jobs_come_back_whatever_is_said_to_have_started(scene: Scene) -> None:
    [job_id] = await scene.put_many(1)
    await scene.take(worker="dead")
    assert await scene.carrier.surrender(WorkerId("dead"), started=[*UNKNOWN, job_id]) == 1
    assert (await scene.record(job_id)).crashes == 1
    assert await scene.take_ids() == [job_id]
