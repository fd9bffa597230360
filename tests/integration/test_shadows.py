"""Copies of jobs: measured elsewhere, run by nobody as what they are copies of, and never in the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway import Headway, Unique
from headway.brokers.base import JobQuery
from headway.errors import ArgumentsError, BrokerUnavailableError, ConfigError, DeclarationError
from headway.job import SHADOW_QUEUE, JobState, NewJob, new_job_id
from headway.routing import shadowing
from headway.routing.shadow import Shadow, at_work
from headway.runtime.worker import Worker
from tests.faults.until import until_told

if TYPE_CHECKING:
    from pathlib import Path

    from headway.job import JobRecord

ALL: Final[dict[str, Any]] = {"reports": {"main": 100, "shadow": "side=100"}}


def _app(folder: Path, routes: Any = None) -> Headway:
    carriers = {name: f"sqlite:///{folder / name}.db" for name in ("main", "side")}
    return Headway("shadowed", carriers=carriers, routes=routes or ALL)


async def _jobs(app: Headway, carrier: str) -> list[JobRecord]:
    return list((await app.carriers[carrier].list(JobQuery())).jobs)


async def _copies(app: Headway, count: int) -> list[JobRecord]:
    async def there() -> list[JobRecord] | None:
        found = await _jobs(app, "side")
        return found if len(found) >= count else None

    return await until_told(there, f"{count} copies")


async def test_copies_are_discarded_by_workers_and_measured(tmp_path: Path) -> None:
    app, ran = _app(tmp_path), list[int]()

    @app.task(name="report", queue="reports")
    async def report(number: int) -> None:
        ran.append(number)

    async with app:
        worker = Worker(app)
        assert SHADOW_QUEUE in worker.queues
        running = asyncio.create_task(worker.run())
        handles = await app.enqueue_many([report.job(number) for number in range(20)])
        handles.append(await report.options(key="k").enqueue(20))
        await report.options(key="k").enqueue(20)  # a duplicate is no job, and has no copy
        await asyncio.gather(*(one.wait(20) for one in handles))
        copies = await _copies(app, 21)
        await asyncio.gather(*(app.job(one.id).wait(20) for one in copies))
        worker.stop()
        await running
        assert sorted(ran) == list(range(21))
        copies = await _jobs(app, "side")
        assert {(one.task, one.queue, one.state, one.key) for one in copies} == {
            ("shadow-of-report", SHADOW_QUEUE, JobState.SUCCEEDED, None)
        }
        assert len(copies) == 21
        [counted] = await app.queues.counts("reports")
        assert counted.counts == {JobState.SUCCEEDED: 21}
        figures = app.carriers["main"].capabilities.figures
        assert figures is not None
    async with app:
        figures = app.carriers["main"].capabilities.figures
        assert figures is not None
        rows = (await figures.figures(0, 2**42, queue=SHADOW_QUEUE)).rows
        sums = {one.task: 0 for one in rows}
        for one in rows:
            sums[one.task] += one.counts.succeeded
        assert sums["shadow-of-report"] == 21
        assert sums["(enqueue)"] >= 2
        assert all(one.carrier == "side" for one in rows)


async def test_a_task_says_what_runs_for_copies_once(tmp_path: Path) -> None:
    app, ran = _app(tmp_path), list[str]()

    async def look(number: int) -> None:
        ran.append(f"shadow {number}")
        msg = "it would fail there"
        raise RuntimeError(msg)

    @app.task(queue="reports", shadow=look)
    async def report(number: int) -> None:
        ran.append(f"real {number}")

    async with app:
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        await (await report.enqueue(1)).wait(20)
        [copy] = await _copies(app, 1)
        assert await app.job(copy.id).wait(20) is JobState.FAILED
        worker.stop()
        await running
    assert sorted(ran) == ["real 1", "shadow 1"]


def test_a_shadow_takes_the_arguments_of_its_task_and_no_task_is_called_like_a_copy(tmp_path: Path) -> None:
    app = _app(tmp_path)

    def other(name: str) -> None: ...

    with pytest.raises(DeclarationError, match="shadow must take the same arguments"):

        @app.task(shadow=other)
        def report(number: int) -> None: ...

    with pytest.raises(DeclarationError, match="cannot begin with 'shadow-of-'"):

        @app.task(name="shadow-of-report")
        def disguised() -> None: ...

    with pytest.raises(DeclarationError, match="headway-shadows is that of copies"):

        @app.task(queue=SHADOW_QUEUE)
        def among() -> None: ...

    @app.task()
    def real() -> None: ...

    with pytest.raises(ArgumentsError, match="headway-shadows is that of copies"):
        real.options(queue=SHADOW_QUEUE)


async def test_a_carrier_that_takes_no_copies_is_nobodys_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shadowing, "MOST", 5)
    app = _app(tmp_path)

    @app.task(queue="reports", unique=Unique())
    async def report(number: int) -> None: ...

    async with app:
        side: Any = app.carriers["side"]
        calls = 0

        async def refuse(jobs: object) -> object:
            nonlocal calls
            calls += 1
            msg = "down"
            raise BrokerUnavailableError(msg)

        monkeypatch.setattr(side, "enqueue", refuse)
        handles = await app.enqueue_many([report.job(number) for number in range(50)])
        await until_told(lambda: _true(calls > 0), "a call")
        assert len({one.id for one in handles}) == 50
        assert len(await _jobs(app, "main")) == 50
    assert sum("copies are left out" in record.getMessage() for record in caplog.records) == 1


async def _true(answer: bool) -> bool:
    return answer


def test_jobs_of_blocking_code_are_copied_as_well(tmp_path: Path) -> None:
    app = _app(tmp_path)

    @app.task(name="report", queue="reports")
    def report(number: int) -> None: ...

    with app.sync:
        for number in range(10):
            report.sync.enqueue(number)
        assert len(app.portal.call(_copies, app, 10)) == 10


def test_which_jobs_are_copied_is_a_share_that_only_grows() -> None:
    ids = [new_job_id() for _ in range(10_000)]
    few, more = ({one for one in ids if Shadow("side", share).takes(one)} for share in (5, 30))
    assert few < more
    assert 350 < len(few) < 650
    assert not any(Shadow("side", 0).takes(one) for one in ids)
    assert all(Shadow("side", 100).takes(one) for one in ids)


def test_what_is_set_goes_before_the_settings_and_a_drained_carrier_gets_none() -> None:
    declared, given = {"a": Shadow("side", 5), "b": Shadow("side", 5)}, {"b": Shadow("main", 0)}
    assert at_work(declared, given, frozenset({"main", "side"})) == {"a": Shadow("side", 5)}
    assert at_work(declared, given, frozenset({"main"})) == {}


@pytest.mark.parametrize("text", ["side", "side=101", "side=x", 5, "nosuch=5"])
def test_a_shadow_that_cannot_be_is_refused(tmp_path: Path, text: object) -> None:
    app = _app(tmp_path, {"reports": {"main": 100, "shadow": text}})

    async def opened() -> None:
        async with app:
            pass

    with pytest.raises(ConfigError, match=r"reports\.shadow"):
        asyncio.run(opened())


async def test_a_copy_never_runs_as_the_job_itself(tmp_path: Path) -> None:
    """Also where a carrier hands it to an app that has a task, and no shadow of it."""
    app, ran = _app(tmp_path), list[int]()

    @app.task(name="report", queue="reports")
    async def report(number: int) -> None:
        ran.append(number)

    async with app:
        copy = NewJob(new_job_id(), "shadow-of-report", SHADOW_QUEUE, report.job(1).new.payload)
        await app.carriers["side"].enqueue([copy])
        worker = Worker(app, queues=[SHADOW_QUEUE])
        running = asyncio.create_task(worker.run())
        assert await app.job(copy.id).wait(20) is JobState.SUCCEEDED
        worker.stop()
        await running
    assert ran == []
