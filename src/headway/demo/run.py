"""One run of the demo: workers started, jobs enqueued, a worker killed, everything finished, the account drawn up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.url import from_url, pulled
from headway.demo.app import APP_PATH, FILES, MARKS, REPORTS, analyse_file, census, mark
from headway.demo.findings import Findings, find
from headway.demo.ledger import Ledger, draw_up
from headway.demo.source import source_files
from headway.demo.store import Journal, all_records, count_states
from headway.errors import BrokerUnavailableError, HeadwayError
from headway.job import JobState
from headway.runtime.control import WorkerOptions
from headway.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from headway.brokers.base import BrokerSettings, Carrier, Store
    from headway.demo.place import Place
    from headway.demo.watch import Watcher
    from headway.job import JobId, NewJob

_CONCURRENCY: Final = 16
_LEASE: Final = 5.0
_GRACE: Final = 10.0
_STUMBLING: Final = 40  # one file in so many stumbles, once or twice
_DELAY: Final = 2.0  # seconds, of the delayed job
_LOOK: Final = 0.05  # seconds between looks at the counts, for the bar
_STILL: Final = 120.0  # seconds without any change, after which the run is given up
_START: Final = 30.0  # seconds for the workers to claim
SCHEDULE: Final = "every-second"
_WAITING: Final = (JobState.SCHEDULED, JobState.READY, JobState.RUNNING)


class Plan(Struct, frozen=True):
    """`limit` bounds the files; the seed decides on their order and on which of them stumble."""

    processes: int
    seed: int
    limit: int | None = None


class Outcome(Struct, frozen=True):
    """What came of a run. `killed` is the process that was ended with SIGKILL."""

    ledger: Ledger
    findings: Findings
    killed: int | None


async def run(place: Place, plan: Plan, watcher: Watcher) -> Outcome:
    """Run; HeadwayError when it cannot be finished. A Redis is left as it was."""
    try:
        async with from_url(place.url, place.broker) as carrier:
            return await _run(carrier, plan, watcher)
    finally:
        if not place.url.startswith("sqlite:"):
            from headway.demo.forget import forget_namespace  # noqa: PLC0415 - only for Redis

            # Where the server is gone, the first error is the one to tell.
            with suppress(Exception):
                await forget_namespace(place.url, place.broker.namespace)


async def _run(carrier: Store, plan: Plan, watcher: Watcher) -> Outcome:
    journal = Journal(carrier, MARKS, mark.job().new.payload)
    await journal.begin()
    async with working(plan.processes) as supervisor:
        watcher.step(f"{plan.processes} worker processes claim: {', '.join(map(str, supervisor.pids))}")
        jobs = jobs_of(plan)
        accepted = await enqueue(carrier, jobs)
        watcher.step(f"{len(accepted)} jobs accepted, one of them delayed by {_DELAY:g} s")
        killed = await _until_done(carrier, supervisor, watcher, total=len(accepted), seed=plan.seed)
    # No worker lives any more: what the store says now is final.
    events = await journal.read()
    records = await all_records(carrier)
    return Outcome(draw_up(accepted, events, records, measured=FILES), find(records), killed)


def jobs_of(plan: Plan) -> list[NewJob]:
    """Return the jobs of a run: the delayed one, and one for each file."""
    chance = random.Random(plan.seed)  # noqa: S311 - to repeat a run, not to keep a secret
    files = source_files()
    chance.shuffle(files)
    files = files[: plan.limit]
    jobs = [
        analyse_file.job(file, stumbles=chance.choice((1, 1, 2)) if n % _STUMBLING == 0 else 0).new
        for n, file in enumerate(files)
    ]
    return [census.options(delay=_DELAY).job().new, *jobs]


async def enqueue(carrier: Store, jobs: Sequence[NewJob]) -> list[JobId]:
    """Enqueue them, a thousand at a time; return their ids as they were accepted."""
    accepted: list[JobId] = []
    for start in range(0, len(jobs), 1000):
        accepted += [answer.id for answer in await carrier.enqueue(jobs[start : start + 1000])]
    return accepted


def _open_carrier(url: str, settings: BrokerSettings) -> Carrier:
    return pulled(from_url(url, settings))


@asynccontextmanager
async def working(
    processes: int, app: str = APP_PATH, queues: Sequence[str] = (FILES, REPORTS)
) -> AsyncGenerator[Supervisor]:
    """Run worker processes that claim; HeadwayError when they do not start. `app` is written as module:name."""
    options = WorkerOptions(
        app=app, queues=list(queues), concurrency=_CONCURRENCY, lease=_LEASE, grace=_GRACE
    )
    supervisor = Supervisor(options, open_carrier=_open_carrier, processes=processes)
    running = asyncio.create_task(supervisor.run())
    ready = asyncio.create_task(supervisor.claiming.wait())
    try:
        await asyncio.wait({running, ready}, timeout=_START, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            msg = f"the worker processes did not start within {_START:g} s; their log is above"
            raise HeadwayError(msg)
        yield supervisor
    finally:
        ready.cancel()
        supervisor.stop()
        await running


async def _until_done(
    carrier: Store, supervisor: Supervisor, watcher: Watcher, *, total: int, seed: int
) -> int | None:
    """Wait until every job has completed; kill a worker when half have. Return the killed process."""
    killed: int | None = None
    paused = False
    calm = 0
    changed, before = time.monotonic(), -1
    while True:
        states = await count_states(carrier)
        done = sum(count for state, count in states.items() if state.terminal)
        waiting = sum(states[state] for state in _WAITING)
        watcher.show(done, done + waiting)
        if done != before:
            changed, before = time.monotonic(), done
        elif time.monotonic() - changed > _STILL:
            msg = f"nothing has completed for {_STILL:g} s; {waiting} jobs wait"
            raise BrokerUnavailableError(msg)
        if killed is None and done >= total // 2:
            killed = await _kill_one(carrier, supervisor, seed)
            if killed is not None:
                watcher.step(
                    f"worker process {killed} killed with SIGKILL after {done} jobs, with jobs in its hands"
                )
        if done >= total and not paused:
            # The schedule would go on for ever: it has fired every second until now.
            paused = await carrier.pause_schedule(SCHEDULE, paused=True)
        # Twice in a row: a scheduler that had just looked may still enqueue one job.
        calm = calm + 1 if waiting == 0 and done >= total else 0
        if calm > 1 + 0.5 // _LOOK:
            return killed
        await asyncio.sleep(_LOOK)


async def _kill_one(carrier: Store, supervisor: Supervisor, seed: int) -> int | None:
    """Kill one of the processes that hold jobs, as the carrier has it; None when there is none at the moment."""
    holding = {part for worker in await carrier.workers() if worker.holds for part in worker.id.split("-")}
    pids = [pid for pid in supervisor.pids if str(pid) in holding]
    if not pids:
        return None
    chosen = random.Random(seed).choice(pids)  # noqa: S311 - any of them
    os.kill(chosen, signal.SIGKILL)
    return chosen
