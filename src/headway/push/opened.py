"""What a receiver has while it is open: the carrier, the jobs under way, the processes of jobs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

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

_log = logging.getLogger("headway.push")
_EARLY: Final = 5.0  # seconds by which a scheduler's clock may be ahead of ours


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
        """Enqueue what is due by the schedules. The time that the call names is only a hint."""
        if call.schedule not in self.app.schedules:
            _log.warning("schedule %r is called but not declared in app %r", call.schedule, self.app.name)
            return PushResponse(200)
        if not self.declared:
            await declare_schedules(self.app)
            self.declared = True
        if call.at_ms is not None and (early := (call.at_ms - self.app.clock.now_ms()) / 1000) > 0:
            # A little early by our clock; further ahead it is a run by hand, that names the next time.
            await asyncio.sleep(early if early < _EARLY else 0)
        await fire_due(self.app)
        return PushResponse(200)


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
