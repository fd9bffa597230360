"""Progress and log lines of running jobs on their way to the carrier, in batches, from any thread."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import TYPE_CHECKING, Protocol

from headway.app.batching import Batcher
from headway.brokers.base import LogLine, Progress, Report
from headway.errors import BrokerUnavailableError
from headway.raised import in_one_line, trace_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import SettleResult
    from headway.clock import Clock
    from headway.job import JobId, Lease
    from headway.service import Remarks


class TakesReports(Protocol):
    """A carrier that records reports, with workers or receivers."""

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        """Record progress and log lines."""
        ...


class Reporter:
    """Sends reports to the carrier; those that come while a call is under way are sent together."""

    def __init__(self, broker: TakesReports, clock: Clock, remarks: Remarks) -> None:
        self._batcher: Batcher[Report, SettleResult] = Batcher(broker.report, parallel=1)
        self._clock = clock
        self._remarks = remarks
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._last: dict[
            JobId, asyncio.Future[SettleResult]
        ] = {}  # of each job; its others are answered before

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Record how far a job is."""
        self._take(Report(lease, Progress(fraction, message)))

    def log(self, lease: Lease, level: str, message: str) -> None:
        """Record a line."""
        self._take(Report(lease, LogLine(self._clock.now_ms(), level, message)))

    async def flush(self, lease: Lease) -> None:
        """Wait until the reports of this job, taken so far, are recorded, refused, or given up."""
        if threading.get_ident() != self._thread:
            # A handler's own loop in a thread: nothing of this loop may be awaited there.
            return
        # One turn of the loop for the reports that threads have passed to it.
        await asyncio.sleep(0)
        if (last := self._last.get(lease.job_id)) is not None:
            await asyncio.wait([last])

    def busy(self, lease: Lease) -> bool:
        """True while reports of this job are under way."""
        return lease.job_id in self._last

    def _take(self, report: Report) -> None:
        if threading.get_ident() == self._thread:
            self._add(report)
        else:
            self._loop.call_soon_threadsafe(self._add, report)

    def _add(self, report: Report) -> None:
        job_id = report.lease.job_id
        answer = self._last[job_id] = self._batcher.add(report)
        answer.add_done_callback(functools.partial(self._answered, job_id))

    def _answered(self, job_id: JobId, answer: asyncio.Future[SettleResult]) -> None:
        if self._last.get(job_id) is answer:
            del self._last[job_id]
        if answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            return
        # A report is worth less than the job: it is not repeated.
        if not isinstance(error, BrokerUnavailableError):  # the loops that call the carrier log that
            what = f"a progress report or log line could not be recorded: {in_one_line(error)}"
            self._remarks.say(f"job {job_id}", what, detail=trace_of(error))
