"""Whatever is thrown, wherever: one outcome of that job under its policy, written down, and nothing of its neighbours."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway.brokers.base import QueueWant
from headway.codec import decode_history, decode_result
from headway.job import JobState, WorkerId
from headway.raised import type_name
from headway.runtime.executor import Executor
from headway.runtime.mainloop import run_main
from headway.runtime.processes import Processes
from headway.runtime.reporter import Reporter
from headway.runtime.runners import Runners
from headway.runtime.settler import Settler
from headway.runtime.threads import Threads
from headway.service import Services
from tests.conformance import throwing
from tests.conformance.pushed import Hub
from tests.conformance.scene import HOUR, TERMINAL
from tests.conformance.summary import THROWN as THROWN_CASES
from tests.hostile import THROWN

if TYPE_CHECKING:
    from pathlib import Path

    from headway import Headway
    from headway.app.prepared import PreparedJob
    from headway.brokers.base import Carrier
    from headway.job import JobId, JobRecord, Outcome
    from headway.runtime.run import JobRun, Reports
    from tests.conformance.store import Store

_AT_ONCE: Final = 20


@pytest.mark.timeout(300)
async def test_whatever_is_thrown_wherever_is_one_outcome_of_its_job(
    store: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cases = await asyncio.to_thread(run_main, _throw_everything(store, tmp_path))
    request.node.user_properties.append((THROWN_CASES, str(cases)))


async def _throw_everything(store: Store, folder: Path) -> int:
    """Run all cases as a worker does, on a loop as workers have it; return how many there were."""
    hub = None
    if store.hub is not None:  # one on this loop
        hub = Hub(store.clock, folder)
        await hub.open()
        store = replace(store, url=hub.url, hub=hub)
    throwing.armed[0] = False
    carrier = store.broker()
    app = throwing.build(store.namespace, carrier=carrier, clock=store.clock)
    cases = [(place.__name__, name) for place in throwing.PLACES for name in THROWN]
    try:
        async with app:
            thrown = await app.enqueue_many([job_of(app, *case) for case in cases])
            kinds = ("neighbour", "neighbour_in_thread")
            beside = await app.enqueue_many(
                [app.find_task(kinds[number % 2]).job(number) for number in range(len(cases) // 4)]
            )
            throwing.armed[0] = True
            ids = [handle.id for handle in (*thrown, *beside)]
            records = await run_all(app, carrier, ids)
            for case, handle in zip(cases, thrown, strict=True):
                check(*case, records[handle.id])
            for number, handle in enumerate(beside):
                record = records[handle.id]
                assert (record.state, record.attempt, record.crashes) == (JobState.SUCCEEDED, 1, 0)
                assert decode_result(record.result, int) == number
    finally:
        throwing.armed[0] = False
        if hub is not None:
            await hub.close()
    return len(cases)


def job_of(app: Headway, place: str, name: str) -> PreparedJob[Any]:
    return app.find_task(place).job(throwing.Argument(name) if place == "argument" else name)


class _Source:
    """Where the deliveries come from."""

    number = 0

    def __init__(self, reporter: Reports, settler: Settler) -> None:
        self.reporter = reporter
        self.runs: dict[JobId, JobRun] = {}
        self._settler = settler

    def run_ended(self, run: JobRun, outcome: Outcome) -> None:
        self._settler.settle(run.delivery, outcome)


async def run_all(app: Headway, carrier: Carrier, ids: list[JobId]) -> dict[JobId, JobRecord]:
    """Claim, run and settle until all jobs are terminal."""
    services = Services(logging.getLogger("headway.test"), "test")
    threads = Threads(_AT_ONCE)
    path = f"tests.conformance.throwing:{'app_around' if app.middlewares else 'app'}"
    processes = Processes(path, kill_after=30)
    settler = Settler(carrier, lambda _: None, services.watch("settle"))
    executor = Executor(app, threads=threads, processes=processes)
    source = _Source(Reporter(carrier, app.clock, services.remarks), settler)
    runners = Runners(executor, _AT_ONCE, [source])
    try:
        while True:
            wants = [QueueWant("default", 200), QueueWant("processes", 4)]
            claimed = await carrier.claim(wants, worker=WorkerId("w"), limit=200, lease_ms=1000 * HOUR)
            for delivery in claimed.deliveries:
                runners.add(delivery, source)
            while runners.running or runners.waiting_since() is not None:
                await runners.wait(60)
            await settler.finish()
            if not claimed.deliveries:
                records = [record for record in await carrier.get(ids) if record is not None]
                left = [
                    (one.id, one.task, one.state, one.attempt) for one in records if one.state not in TERMINAL
                ]
                assert not left
                return {record.id: record for record in records}
    finally:
        threads.close()
        await processes.close()
        await services.stop()


def check(place: str, name: str, record: JobRecord) -> None:
    if place == "context_variable":
        assert (record.state, record.attempt) == (JobState.SUCCEEDED, 1)
        return
    errors = decode_history(record.history)
    attempts = 1 if place in throwing.AT_ONCE else 2
    told = f"{place}, {name}: {record.state}, {[(error.attempt, error.type) for error in errors]}"
    assert (record.state, record.attempt, record.crashes) == (JobState.FAILED, attempts, 0), told
    assert [error.attempt for error in errors] == ([1, 1] if place == "policy" else [1, 2][:attempts]), told
    assert all(error.type for error in errors), told
    if place in {"coroutine", "child_task", "thread", "child_of_thread", "process"}:
        assert errors[-1].type == _expected(place, name), told


def _expected(place: str, name: str) -> str:
    if place == "child_of_thread" and name == "HostileEq":
        return "tests.hostile.Refusal"  # of whom Python's own Future asks whether it is true
    kind = type(THROWN[name]())
    if name.startswith("RetryLater "):
        return "ValueError"  # of what was written into it
    if name in {"HostileLater", "HostileDiscard"}:
        return "tests.hostile.Refusal"
    # Python itself turns it into one: a coroutine that raised it would seem to have returned.
    return (
        "RuntimeError" if kind is StopIteration and place in {"coroutine", "child_task"} else type_name(kind)
    )
