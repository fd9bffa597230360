"""One run of the demo of push: an emulator, two receivers, every fifth delivery a duplicate, a receiver killed."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.cloudtasks.api.names import queue_id
from headway.demo.app import FILES, REPORTS, app
from headway.demo.findings import Findings, find
from headway.demo.ledger import Ledger, draw_up
from headway.demo.push_audit import Audit
from headway.demo.push_place import CONCURRENCY, HOST
from headway.demo.push_receivers import Receiver
from headway.demo.run import SCHEDULE, Plan, enqueue, jobs_of
from headway.demo.store import all_records
from headway.emulator.faults import Faults
from headway.emulator.standalone import running
from headway.emulator.tokens import GOOGLE_ISSUER
from headway.emulator.wire import request_class
from headway.errors import BrokerUnavailableError
from headway.job import JobState
from headway.runtime.scheduler import Scheduler
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headway.demo.push_place import PushPlace
    from headway.demo.watch import Watcher
    from headway.emulator.server import Emulator

_log = logging.getLogger("headway.demo")
DUPLICATES: Final = 0.2  # of all deliveries
_LOCATION: Final = "projects/demo/locations/laptop"
_LOOK: Final = 0.03  # seconds between looks at the counts
_STILL: Final = 120.0  # seconds without any change, after which the run is given up


class PushOutcome(Struct, frozen=True):
    """What came of a run. `killed`: the receiver that was ended with SIGKILL. `duplicates`: deliveries sent twice."""

    ledger: Ledger
    findings: Findings
    killed: int | None
    duplicates: int


async def run(place: PushPlace, plan: Plan, watcher: Watcher) -> PushOutcome:
    """Run; HeadwayError when it cannot be finished. `processes` of the plan does not count: there are two receivers."""
    audit = Audit(place.guard_file)
    await audit.begin(place.place.broker.namespace)
    async with emulating(place, plan.seed) as emulator, app:
        watcher.step(f"the emulator of Cloud Tasks listens on {emulator.grpc_address}")
        log = place.place.folder / "receivers.log"
        files, reports = Receiver(log, place.files_port, FILES), Receiver(log, place.reports_port, REPORTS)
        async with files, reports:
            watcher.step(f"two receivers take jobs: one for {FILES}, one for {REPORTS}")
            accepted = await enqueue(app.carrier, jobs_of(plan))
            watcher.step(f"{len(accepted)} jobs accepted, one of them delayed")
            killed = await _until_done(emulator, audit, files, watcher, total=len(accepted))
        # No receiver lives any more: what the guard says now is final.
        records = await all_records(app.carrier)
        ledger = draw_up(accepted, audit.events(), records, measured=FILES)
        return PushOutcome(ledger, find(records), killed, emulator.dice.drawn["duplicates"])


@asynccontextmanager
async def emulating(place: PushPlace, seed: int) -> AsyncGenerator[Emulator]:
    """Run the emulator, with the demo's queues."""
    async with running(
        host=HOST,
        grpc_port=place.emulator_port,
        http_port=place.http_port,
        state=place.emulator_file,
        faults=Faults(duplicates=DUPLICATES, seed=seed),
        secret=None,  # the carrier signs its requests itself
        issuer=GOOGLE_ISSUER,
        pubsub_host=None,
    ) as emulator:
        for queue in (FILES, REPORTS):
            request = request_class("CreateQueueRequest")(parent=_LOCATION)
            request.queue.name = f"{_LOCATION}/queues/{queue_id(place.place.broker.namespace, queue)}"
            request.queue.rate_limits.max_concurrent_dispatches = CONCURRENCY
            await emulator.queues.create_queue(request)
        yield emulator


async def _until_done(
    emulator: Emulator, audit: Audit, files: Receiver, watcher: Watcher, *, total: int
) -> int | None:
    """Wait until every task is gone; kill a receiver when half of the jobs have completed, and start it again."""
    killed: int | None = None
    services = Services(_log, "demo")
    services.start("schedules", Scheduler(app, services.remarks).round)
    firing = True
    changed, before = time.monotonic(), -1
    try:
        while True:
            states = await asyncio.to_thread(audit.counts)
            done = sum(count for (_, state), count in states.items() if state.terminal)
            waiting = sum(len(emulator.store.tasks(queue.name)) for queue in emulator.store.queues())
            watcher.show(done, done + waiting)
            if done != before:
                changed, before = time.monotonic(), done
            elif time.monotonic() - changed > _STILL:
                msg = f"nothing has completed for {_STILL:g} s; {waiting} tasks wait"
                raise BrokerUnavailableError(msg)
            if killed is None and done >= total // 2 and states.get((FILES, JobState.RUNNING), 0):
                killed = await files.kill()
                watcher.step(
                    f"receiver {killed} killed with SIGKILL after {done} jobs, with jobs in its hands"
                )
                watcher.step(f"receiver {await files.start()} takes its place")
            if done >= total and firing:
                # The schedule would go on for ever: it has fired every second until now.
                await app.carrier.pause_schedule(SCHEDULE, paused=True)
                await services.stop()
                firing = False
            elif not firing and not waiting and not emulator.dispatcher.flying:
                return killed
            await asyncio.sleep(_LOOK)
    finally:
        await services.stop()
