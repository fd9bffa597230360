"""What a receiver has while it is open: the carrier, the jobs under way, the processes of jobs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from msgspec import structs

from headway.brokers.base import PushResponse
from headway.errors import BrokerError
from headway.job import WorkerId
from headway.push.run import Runs
from headway.runtime.loading import path_of
from headway.runtime.processes import Processes
from headway.runtime.scheduler import declare_schedules, fire_due
from headway.runtime.worker import new_worker_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from headway.app import Headway
    from headway.brokers.base import FireCall, PushCarrier
    from headway.scheduled import ScheduledTask

_log = logging.getLogger("headway.push")
_EARLY_MS: Final = 5000  # by which a scheduler's clock may be ahead of ours
_RECENT_MS: Final = 24 * 3600 * 1000
_SAME_RUN_MS: Final = 60_000


@dataclass(slots=True)
class Opened:
    """An open receiver."""

    app: Headway
    broker: PushCarrier
    runs: Runs
    name: WorkerId
    processes: Processes | None
    loop: asyncio.AbstractEventLoop
    deliveries: Iterator[int] = field(default_factory=count)
    declared: bool = False  # the app's schedules are known to the carrier

    @classmethod
    async def open(cls, app: Headway, *, concurrency: int, lease_ms: int, app_path: str | None) -> Self:
        """Open the app and begin to look after what will run; ConfigError when its carrier does not push."""
        await app.open()
        try:
            broker = app.push_carrier
            try:
                await broker.prepare_receiving()
            except BrokerError as error:
                # What is down now may be up when the first job comes; until then each is told to come back.
                _log.warning("the receiver opens without its guard: %s", error)
            processes = _processes(app, app_path)
            runs = Runs(app, broker, count=concurrency, lease_ms=lease_ms, processes=processes)
        except BaseException:
            await app.close()
            raise
        runs.start()
        return cls(app, broker, runs, new_worker_id(), processes, asyncio.get_running_loop())

    def next_worker(self) -> WorkerId:
        """Name the holder of one delivery's lease: two deliveries of a job must not take each other for themselves."""
        return WorkerId(f"{self.name}.{next(self.deliveries)}")

    async def close(self) -> None:
        """Close what was opened."""
        try:
            await self.runs.close()
            if self.processes is not None:
                await self.processes.close()
        finally:
            await self.app.close()

    async def fire(self, call: FireCall) -> PushResponse:
        """Enqueue what is due by the schedules. The time that the call names is only a hint.

        One that lies ahead is a run by hand, which carries the next run's time: it gets a job of its own, and that fire
        time is still to come.
        """
        scheduled = self.app.schedules.get(call.schedule)
        if scheduled is None:
            _log.warning("schedule %r is called but not declared in app %r", call.schedule, self.app.name)
            return PushResponse(200)
        now = self.app.clock.now_ms()
        at_ms = now if call.at_ms is None else call.at_ms
        if not self.declared:
            # Whoever calls knew the schedule before us: the fire that it names counts, be it the first.
            as_of = at_ms - 1 if now - _RECENT_MS < at_ms < now else now
            await declare_schedules(self.app, as_of_ms=as_of)
            self.declared = True
        ahead = at_ms - now
        if ahead > _EARLY_MS:
            await self._run_by_hand(scheduled, at_ms, now)
            return PushResponse(200)
        if ahead > 0:
            await asyncio.sleep(ahead / 1000)  # a little early by our clock
        await fire_due(self.app)
        return PushResponse(200)

    async def _run_by_hand(self, scheduled: ScheduledTask, at_ms: int, now_ms: int) -> None:
        # A call that is repeated soon, because its answer was lost, is the same run.
        key = f"by hand:{scheduled.name}:{at_ms}:{now_ms // _SAME_RUN_MS}"
        [answer] = await self.app.carrier.enqueue([structs.replace(scheduled.job_now(), key=key)])
        _log.info("schedule %r is run by hand: job %s", scheduled.name, answer.duplicate_of or answer.id)


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
    return Processes(path, kill_after=app.settings.kill_after)
