"""One execution of a job under way, and how it is stopped."""

from __future__ import annotations

import time
from contextvars import ContextVar
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from headway.storable import storable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from headway.job import Delivery, Lease


_MAX_LINE: Final = 10_000  # characters of a job's log line


class Reports(Protocol):
    """Where the progress and the log lines of running jobs go; callable from any thread."""

    def progress(self, lease: Lease, fraction: float, message: str, /) -> None:
        """Take how far a job is."""
        ...

    def log(self, lease: Lease, level: str, message: str, /) -> None:
        """Take a log line."""
        ...

    async def flush(self, lease: Lease, /) -> None:
        """Wait until what was taken of this job is recorded or refused."""
        ...


current_run: Final[ContextVar[JobRun | None]] = ContextVar("headway_run", default=None)
"""The run whose handler the running code belongs to, also in tasks and threads that the handler started; None: none."""


class Stop(Enum):
    """Why a run is stopped from outside."""

    CANCEL = auto()  # somebody asked
    LOST = auto()  # the lease is someone else's now
    DRAIN = auto()  # the worker goes away
    TIMEOUT = auto()  # the attempt's time is over


class JobRun:
    """The run of one delivery. It is also the channel of the handler's context."""

    __slots__ = (
        "_interrupt",
        "_reporter",
        "deadline",
        "delivery",
        "reason",
        "slot",
        "started",
        "stop",
        "task",
    )

    def __init__(self, delivery: Delivery, reporter: Reports, task: asyncio.Task[None] | None = None) -> None:
        """`task` is the one that performs it, when that is known: asking for it is slow before Python 3.12."""
        self.task = task
        self.delivery = delivery
        self.stop: Stop | None = None
        self.reason = ""
        self.started = time.monotonic()
        self.deadline = 0.0  # time.monotonic() of its soft end; 0: watched elsewhere
        self.slot = -1
        self._interrupt: Callable[[], object] | None = None
        self._reporter = reporter

    def interrupt(self, stop: Stop, reason: str = "") -> None:
        """Stop the run softly: its coroutine is cancelled, its thread or process is asked. The first reason stands."""
        if self.stop is None:
            self.stop = stop
            self.reason = reason
            if self._interrupt is not None:
                self._interrupt()

    def on_interrupt(self, interrupt: Callable[[], object] | None) -> None:
        """Say how this run is stopped; called at once when that was asked before."""
        self._interrupt = interrupt
        if interrupt is not None and self.stop is not None:
            interrupt()

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
        self._reporter.progress(self.delivery.lease, fraction, storable(message))

    def log(self, level: str, message: str) -> None:
        """Record a log line."""
        self._reporter.log(self.delivery.lease, storable(level), storable(message, _MAX_LINE))

    async def flush(self) -> None:
        """Wait until the reports of this run are recorded."""
        await self._reporter.flush(self.delivery.lease)
