"""What handlers leave behind, in their processes and elsewhere, and results that are not what was declared."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from headway.codec import decode_history, decode_result
from headway.job import Delivery, Failed, Lease, Outcome, Succeeded, WorkerId, new_job_id
from headway.runtime.executor import Executor
from headway.runtime.processes import Processes
from headway.runtime.run import JobRun
from headway.runtime.threads import Threads
from tests.faults.processes import alive
from tests.faults.until import until
from tests.integration.process_app import app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from headway.job import JobId

    Run = Callable[..., Coroutine[Any, Any, Outcome]]


class Quiet:
    def progress(self, *_: Any) -> None: ...
    def log(self, *_: Any) -> None: ...
    async def flush(self, _lease: Lease) -> None: ...
    def busy(self, _lease: Lease) -> bool:
        return False


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    threads = Threads(2)
    processes = Processes("tests.integration.process_app:app", kill_after=0.5)
    executor = Executor(app, threads=threads, processes=processes)

    async def run(task: str, *args: Any) -> Outcome:
        payload = app.find_task(task).job(*args).new.payload
        job_id: JobId = new_job_id()
        delivery = Delivery(Lease(job_id, WorkerId("w"), 1), task, "q", payload, 5, 1, 0)
        return await asyncio.wait_for(executor.run(JobRun(delivery, Quiet())), 55)

    try:
        yield run
    finally:
        await processes.close()
        threads.close()


def error_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed)
    (error,) = decode_history(outcome.history)
    return f"{error.type}: {error.message}"


async def test_children_of_a_handler_obey_signals(run: Run) -> None:
    outcome = await run("signals")
    assert isinstance(outcome, Succeeded)
    assert decode_result(outcome.result) == ["True", "True"]


@pytest.mark.parametrize(("task", "error"), [("dies", "ProcessDiedError"), ("hangs", "JobTimeoutError")])
async def test_what_a_dead_or_overdue_process_left_running_is_ended(
    run: Run, tmp_path: Path, task: str, error: str
) -> None:
    outcome = await run(task, str(tmp_path / "pid"))
    assert error in error_of(outcome)
    child = int((tmp_path / "pid").read_text(encoding="ascii"))
    await until(lambda: not alive(child), "what it left running ends", 20)


@pytest.mark.parametrize("where", ["process", "thread", "loop"])
async def test_of_a_handler_that_forks_and_returns_twice_the_child_ends(
    run: Run, tmp_path: Path, where: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons: threads and forks
        outcome = await run(f"forks {'on' if where == 'loop' else 'in'} {where}", str(tmp_path / "pids"))
    assert isinstance(outcome, Succeeded)
    assert decode_result(outcome.result) == 7
    pids = (tmp_path / "pids").read_text(encoding="ascii").split()
    assert len(set(pids)) == 2


@pytest.mark.parametrize("task", ["wrong result", "wrong items"])
async def test_a_result_that_is_not_what_is_declared_fails_by_name(run: Run, task: str) -> None:
    told = error_of(await run(task))
    assert told.startswith(f"headway.errors.SerialisationError: task '{task}': its handler returned a ")
    assert "`int`, got `str`" in told


@pytest.mark.parametrize("number", [0, 3])
async def test_a_result_fits_as_it_is_read(run: Run, number: int) -> None:
    outcome = await run("right results", number)
    assert isinstance(outcome, Succeeded)
    assert decode_result(outcome.result, float | None) == (number or None)
