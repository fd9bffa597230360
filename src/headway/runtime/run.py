"""One execution of a job under way, and how it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import Struct, field

from headway.job import Delivery

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headway.job import Lease


T = TypeVar("T")


class Reports(Protocol):
    """Takes progress and log lines of running jobs; callable from any thread."""

    def progress(self, lease: Lease, fraction: float, message: str, /) -> None:
        """Accept how far a job is."""
        ...

    def log(self, lease: Lease, level: str, message: str, /) -> None:
        """Accept a log line."""
        ...

    async def flush(self, lease: Lease, /) -> None:
        """Wait until the accepted reports of this job are recorded or refused."""
        ...

    def busy(self, lease: Lease, /) -> bool:
        """Tell whether reports of this job are still on their way."""
        ...


class Stop(Enum):
    """Why a run is stopped from outside."""

    CANCEL = auto()  # somebody asked
    LOST = auto()  # the lease was lost: another worker may have the job
    DRAIN = auto()  # the worker goes away
    TIMEOUT = auto()  # the attempt's time is over


class JobRun(Struct, eq=False):
    """The run of one delivery. It is also the channel of the handler's context.

    A Struct, because each job makes one: its fields are set without a line of Python.
    """

    delivery: Delivery
    reporter: Reports
    task: asyncio.Task[None] | None = None
    """The task that runs it, where known: `asyncio.current_task` is slow before Python 3.12."""
    lane: int = 0
    """The number of the lane, in its worker, that the delivery came from."""
    started: float = field(default_factory=time.monotonic)
    stop: Stop | None = None
    reason: str = ""
    deadline: float = 0.0
    """The time.monotonic() of its soft end; 0: watched elsewhere."""
    late_since: float = 0.0
    """The time.monotonic() at which it was first seen past its deadline; 0: never."""
    given_up: bool = False
    """It was given up: it has an outcome although it goes on."""
    slot: int = -1
    _interrupt: Callable[[], object] | None = None

    def interrupt(self, stop: Stop, reason: str = "") -> None:
        """Stop the run softly: its coroutine is cancelled, its thread or process is asked. The first reason stands."""
        if self.stop is None:
            self.stop = stop
            self.reason = reason
            if self._interrupt is not None:
                self._interrupt()

    def on_interrupt(self, interrupt: Callable[[], object] | None) -> None:
        """Set how this run is stopped; called at once when a stop was asked for before."""
        self._interrupt = interrupt
        if interrupt is not None and self.stop is not None:
            interrupt()

    def cancellable(self) -> asyncio.Task[Any]:
        """Have the present task cancelled when the run is stopped, and return it.

        When it is done, `on_interrupt(None)` and `absorb` belong behind it.
        """
        current = self.task or asyncio.current_task()
        if current is None:  # pragma: no cover - a coroutine is always awaited in a task
            msg = "a job must run in a task"
            raise RuntimeError(msg)
        self._interrupt = current.cancel  # as on_interrupt does, which this is called too often for
        if self.stop is not None:
            current.cancel()
        return current

    async def stoppable(self, work: Awaitable[T]) -> T:
        """Await some work in this task, which is cancelled when the run is stopped."""
        current = self.cancellable()
        try:
            return await work
        finally:
            self.on_interrupt(None)
            if current.cancelling():
                await absorb(current)

    def seconds_left(self, timeout: float) -> float:
        """Return the seconds until a limit that began with the run."""
        return max(0.0, self.started + timeout - time.monotonic())

    # The channel of the context; `progress` and `log` may be called from any thread.

    @property
    def lease_held(self) -> bool:
        """False once the lease is known to be lost."""
        return self.stop is not Stop.LOST

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked to cancel."""
        return self.stop is Stop.CANCEL

    def progress(self, fraction: float, message: str) -> None:
        """Record how far the job is."""
        self.reporter.progress(self.delivery.lease, fraction, message)

    def log(self, level: str, message: str) -> None:
        """Record a log line."""
        self.reporter.log(self.delivery.lease, level, message)

    async def flush(self) -> None:
        """Wait until the reports of this run are recorded."""
        await self.reporter.flush(self.delivery.lease)


async def absorb(task: asyncio.Task[Any]) -> None:
    """Use up every cancellation of this task, ours and a handler's: none is meant for the next job."""
    while task.uncancel():
        pass
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # lets one that has not reached the task yet do so
