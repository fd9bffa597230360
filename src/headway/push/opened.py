"""What a receiver has while it is open: the carrier, the jobs under way, the processes of jobs."""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from msgspec import structs

from headway.app.counting import counting
from headway.app.rollouts import controller
from headway.app.roster import note_carriers
from headway.brokers.base import PushResponse
from headway.errors import BrokerError
from headway.job import WorkerId
from headway.push.called import SKEW_MS, named_fire
from headway.push.http import come_back
from headway.push.run import Runs
from headway.push.served import Carriers, Served
from headway.push.stepping import Stepping
from headway.runtime.carriers import chosen, push_carriers
from headway.runtime.loading import path_of
from headway.runtime.made import MadeScheduler
from headway.runtime.processes import Processes
from headway.runtime.resources import CLOSE_SECONDS, Lifespan
from headway.runtime.scheduler import Looked, Scheduler
from headway.runtime.worker import new_worker_id
from headway.service import Outage, Services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from headway.app.app import Headway
    from headway.app.counting import Counting
    from headway.app.scheduled import ScheduledTask
    from headway.brokers.base import FireCall, ScheduleRecord

_log = logging.getLogger("headway.push")
_STEP_MS: Final = 1000  # after which a clock that was set meanwhile is noticed
_UNTIMELY: Final = 10  # seconds until a call comes back whose time does not come by our clock
_RECENT_MS: Final = 24 * 3600 * 1000
_SAME_RUN_MS: Final = 60_000


@dataclass(slots=True)
class Opened:
    """An open receiver."""

    app: Headway
    carriers: Carriers
    name: WorkerId
    processes: Processes | None
    loop: asyncio.AbstractEventLoop
    lifespan: Lifespan
    counting: Counting | None = None
    deliveries: Iterator[int] = field(default_factory=count)
    scheduler: Scheduler = field(init=False)
    made: MadeScheduler = field(init=False)
    services: Services = field(init=False)
    stepping: Stepping | None = field(init=False)
    _noting: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        """Its schedules are declared with the first call of one; roll-outs are looked at from now on."""
        outage = Outage(_log, "receiver: the control store of roll-outs")
        self.services = Services(_log, "receiver", outage=outage)
        remarks, holder = self.services.remarks, f"receiver {self.name}"
        rollouts = controller(
            self.app.carriers, self.app.settings, self.app.clock, holder=holder, remarks=remarks
        )
        self.stepping = None if rollouts is None else Stepping(rollouts.round)
        if rollouts is not None and self.stepping is not None:
            self.services.start("rollouts", self.stepping.round)
            if self.counting is not None:
                self.counting.hurried = lambda: rollouts.active
        # Beside the work: a control store that is down must not keep jobs waiting.
        self._noting = self.loop.create_task(note_carriers(self.app))
        remarks = self.carriers.served[0].runs.services.remarks
        self.scheduler, self.made = Scheduler(self.app, remarks), MadeScheduler(self.app, remarks)

    @classmethod
    async def open(
        cls,
        app: Headway,
        *,
        carriers: Sequence[str] | None,
        concurrency: int,
        lease_ms: int,
        app_path: str | None,
    ) -> Self:
        """Open the app and begin to look after what will run; ConfigError when no carrier of these names pushes."""
        chosen(app.pulls, carriers, pull=False)
        app.import_included()  # not sooner: the module that makes the receiver may be one of them
        await app.open()
        try:
            brokers = push_carriers(app.carriers, carriers)
            for name, broker in brokers.items():
                try:
                    await broker.prepare_receiving()
                except BrokerError as error:
                    # What is down now may be up when the first job comes; until then each is told to come back.
                    which = f"that of carrier {name}" if len(brokers) > 1 else "its guard"
                    _log.warning("the receiver opens without %s: %s", which, error)
            lifespan = await _first_attempt(Lifespan(app, "receiver"))
        except BaseException:
            await app.close()
            raise
        processes = _processes(app, app_path)
        name = new_worker_id()
        figures = counting(app.carriers, name, app.clock)
        served: list[Served] = []
        for carrier, broker in brokers.items():
            runs = Runs(
                app,
                broker,
                count=concurrency,
                lease_ms=lease_ms,
                processes=processes,
                resources=lifespan.resources,
                name=carrier if len(brokers) > 1 else "",
                counting=figures,
                counted_as=carrier,
            )
            runs.start()
            served.append(Served(carrier, broker, runs))
        loop = asyncio.get_running_loop()
        return cls(app, Carriers(served), name, processes, loop, lifespan, figures)

    def next_worker(self) -> WorkerId:
        """Name the holder of one delivery's lease: two deliveries of a job must not take each other for themselves."""
        return WorkerId(f"{self.name}.{next(self.deliveries)}")

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Close what was opened; the resources have so many seconds."""
        try:
            self._noting.cancel()
            await self.services.stop()
            await self.carriers.close()
            if self.counting is not None:
                await self.counting.finish()
            closing = [self.lifespan.close(seconds)]
            if self.processes is not None:
                closing.append(self.processes.close(seconds))
            await asyncio.gather(*closing)
        finally:
            await self.app.close()

    async def fire(self, call: FireCall) -> PushResponse:
        """Enqueue what is due by the schedules; a run by hand gets a job of its own.

        The time that the call names tells one from the other. A fire time that has come, or comes within the skew of
        two clocks, is the ordinary call. One further ahead is a run by hand that carries the next run's time: that is
        still to come. A time that is none of the schedule's is that of a run by hand, unless a job was due: then it may
        be a late call for that one. A call without a time says only that it is time to look.
        """
        scheduled = self.app.schedules.get(call.schedule)
        if scheduled is None:
            _log.warning("schedule %r is called but not declared in app %r", call.schedule, self.app.name)
            return PushResponse(200)
        at_ms = call.at_ms
        fire_ms = None if at_ms is None else named_fire(scheduled.schedule, at_ms)
        now = self.app.clock.now_ms()
        # Whoever calls knew the schedules before us: the fire that it names counts.
        recent = fire_ms is not None and now - _RECENT_MS < fire_ms <= now
        await self.scheduler.declare(as_of_ms=fire_ms - 1 if recent and fire_ms is not None else now)
        if at_ms is None:
            return await self._look(scheduled)
        if at_ms - now > SKEW_MS:
            # It carries the same time as every other by hand before the next run. Repeated soon, it is the same one:
            # its answer was lost.
            await self._run_by_hand(scheduled, f"{at_ms}:{now // _SAME_RUN_MS}")
        elif fire_ms is None:
            if not await self._fires(scheduled):
                await self._run_by_hand(scheduled, str(at_ms))
        elif await self._comes(at_ms):
            return await self._look(scheduled)
        else:
            return come_back(503, _UNTIMELY)
        return PushResponse(200)

    async def _look(self, scheduled: ScheduledTask) -> PushResponse:
        """Enqueue what is due by all schedules; the call comes back when its own could make no job."""
        looked = await self._enqueue_due()
        return come_back(503, _UNTIMELY) if scheduled.name in looked.errors else PushResponse(200)

    async def _enqueue_due(self) -> Looked:
        """Enqueue what is due, also by schedules made at run time: nothing else calls for those."""
        looked = await self.scheduler.look()
        with self.services.remarks.passing_over("schedules made at run time", "not looked at"):
            await self.made.look()
        return looked

    async def _comes(self, at_ms: int) -> bool:
        """Wait until our clock shows the time too; false when it does not within the skew that is granted."""
        waited = 0
        while (ahead := at_ms - self.app.clock.now_ms()) > 0:
            if waited > SKEW_MS:
                return False  # it was set back meanwhile
            step = min(ahead, _STEP_MS)
            await sleep(step / 1000)
            waited += step
        return True

    async def _fires(self, scheduled: ScheduledTask) -> bool:
        """Enqueue what is due; tell whether a job of this schedule was."""
        before = await self._record(scheduled.name)
        looked = await self._enqueue_due()
        if (error := looked.errors.get(scheduled.name)) is not None:
            raise error
        after = await self._record(scheduled.name)
        if before is None or after is None or before.paused:  # then its fire times are dropped
            return False
        return after.last_fire_ms != before.last_fire_ms

    async def _record(self, name: str) -> ScheduleRecord | None:
        return next((one for one in await self.app.carrier.schedules() if one.name == name), None)

    async def _run_by_hand(self, scheduled: ScheduledTask, run: str) -> None:
        """Enqueue a job beside the fire times, once for each `run`."""
        jobs = [structs.replace(scheduled.job_now(), key=f"by hand:{scheduled.name}:{run}")]
        if (offload := self.app.offload) is not None:
            jobs = await offload.shrunk(jobs, self.app.carrier.capabilities.max_payload)
        [answer] = await self.app.carrier.enqueue(jobs)
        _log.info("schedule %r is run by hand: job %s", scheduled.name, answer.duplicate_of or answer.id)


async def _first_attempt(lifespan: Lifespan) -> Lifespan:
    """Open the resources; what cannot be opened now is tried on, and until it can each job is told to come back."""
    try:
        await lifespan.try_to_open()
    except BaseException:
        await lifespan.close()
        raise
    return lifespan


def _processes(app: Headway, app_path: str | None) -> Processes | None:
    """Where tasks ask for processes of their own: from there the app must be importable."""
    asking = [task.name for task in app.tasks.values() if task.options_declared.run_in == "process"]
    if not asking:
        return None
    path = app_path or path_of(app)
    if path is None:
        _log.warning(
            "no module holds app %r under a name, so tasks with run_in='process' run in threads: %s",
            app.name,
            ", ".join(sorted(asking)),
        )
        return None
    close_seconds = CLOSE_SECONDS if app.resources else 0.0
    return Processes(path, kill_after=app.settings.kill_after, close_seconds=close_seconds)
