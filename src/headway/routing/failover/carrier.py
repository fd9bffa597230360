"""A carrier with a breaker before it and a spool beside it: what it does not take for now is kept on this host.

A job is handed to one carrier at most. Once it was, and no answer came, it goes to no other one, ever: it waits in the
spool for that carrier, which knows its id if it has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from headway.brokers.base import Enqueued
from headway.errors import BrokerRefusedError, BrokerUnavailableError, PartlyAcceptedError, SpoolError
from headway.routing.failover.patience import Patience
from headway.routing.failover.waiting import Waiting

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from headway.brokers.base import CancelResult, Capabilities, Store
    from headway.clock import Clock
    from headway.job import JobId, JobRecord, NewJob
    from headway.routing.failover.breaker import Breaker
    from headway.routing.failover.spool import Spool

_log = logging.getLogger("headway.failover")


class SpooledCarrier:
    """Passes every call on to the carrier; jobs that it does not take for now are accepted by the spool."""

    def __init__(self, name: str, store: Store, breaker: Breaker, spool: Spool, clock: Clock) -> None:
        """`store` is opened and closed with this."""
        self.name = name
        self.store = store
        self.breaker = breaker
        self._spool = spool
        self._watch = spool.watch
        self._waiting = Waiting(store, spool)
        self.kept: Callable[[str, Sequence[NewJob]], None] | None = None
        """Told of the jobs that the spool has taken, which the carrier has not."""
        self._clock = clock
        able = store.capabilities
        self._starter = able.starter
        self._blocking = able.blocking
        self._capabilities: Capabilities = replace(
            able, starter=None, blocking=None if able.blocking is None else self
        )
        self._patience = Patience(breaker.thresholds.timeout, together=able.fifo)
        self._tried: dict[JobId, int] = {}
        """Jobs of blocking callers that were sent and not answered, since when (epoch ms)."""
        self._opened = False
        self._opener: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Those of the carrier."""
        return self._capabilities

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method of the carrier
        """Return the carrier's method."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.store, name)

    # --- opening ------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the carrier; one that does not answer is opened later, and until then its jobs go to the spool."""
        if self._opened or self._opener is not None:
            return
        try:
            await self._open()
        except BrokerUnavailableError as error:
            self.away(self.breaker.trip(str(error)))

    async def _open(self) -> None:
        """Wait for the opening, within the time that a call has; BrokerUnavailableError."""
        opener = self._opener
        if opener is None or (opener.done() and (opener.cancelled() or opener.exception() is not None)):
            opener = self._opener = asyncio.get_running_loop().create_task(self.store.open())
        done, _ = await asyncio.wait((opener,), timeout=self.breaker.thresholds.timeout)
        if not done:
            msg = f"it could not be opened within {self.breaker.thresholds.timeout:g} s"
            raise BrokerUnavailableError(msg)
        await opener
        self._opened = True

    async def close(self) -> None:
        """Close the carrier."""
        self._patience.close()
        if self._opener is not None and not self._opener.done():
            self._opener.cancel()
            await asyncio.wait((self._opener,))
        elif self._opener is not None and not self._opener.cancelled():
            self._opener.exception()  # was told
        self._opener = None
        self._opened = False
        await self.store.close()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def look(self) -> None:
        """Ask the carrier something harmless; BrokerError when it cannot be opened, or does not answer in time."""
        if not self._opened:
            await self._open()
        try:
            async with asyncio.timeout(self.breaker.thresholds.timeout):
                with contextlib.suppress(BrokerRefusedError):  # an answer
                    await self.store.paused()
        except TimeoutError as error:
            raise BrokerUnavailableError(self._no_answer()) from error

    # --- enqueueing ---------------------------------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept the jobs: the carrier, or the spool. SpoolError when neither can."""
        tried_ms = self._untried(jobs) if self._tried else None
        if not self.breaker.admits:
            return await self._keep(jobs, tried_ms)
        if not self._watch.waits:  # the usual case
            return await self._send(jobs, tried_ms)
        held = self._watch.held(self.name, {job.queue for job in jobs})
        if not held:
            return await self._send(jobs, tried_ms)
        later = [job for job in jobs if job.queue in held]
        now = [job for job in jobs if job.queue not in held]
        if not now:
            return await self._keep(jobs, tried_ms)
        answers = {job.id: one for job, one in zip(now, await self._send(now, tried_ms), strict=True)}
        try:
            answers |= {
                job.id: one for job, one in zip(later, await self._keep(later, tried_ms), strict=True)
            }
        except SpoolError as error:
            raise PartlyAcceptedError([job.id for job in now], error) from error
        return [answers[job.id] for job in jobs]

    async def _send(self, jobs: Sequence[NewJob], tried_ms: int | None) -> list[Enqueued]:
        since = self._clock.now_ms() if tried_ms is None else tried_ms
        waiting = self._patience.begin()
        try:
            begun = None if self._starter is None else self._starter.begin_enqueue(jobs)
            answers = None if begun is None else await begun
            if answers is None:
                answers = await self.store.enqueue(jobs)
        except PartlyAcceptedError as error:
            cause = error.__cause__
            if not isinstance(cause, BrokerUnavailableError):
                raise
            self.away(self.breaker.failed(str(cause)))
            taken = frozenset(error.accepted)
            await self._keep([job for job in jobs if job.id not in taken], since, cause)
            return [Enqueued(job.id) for job in jobs]
        except BrokerUnavailableError as error:
            self.away(self.breaker.failed(str(error)))
            return await self._keep(jobs, since, error)
        except asyncio.CancelledError:
            if not waiting.is_mine():
                raise
            self.away(self.breaker.failed(self._no_answer()))
            return await self._keep(jobs, since)
        finally:
            self._patience.end(waiting)
        self.back(self.breaker.answered())
        return answers

    async def _keep(
        self, jobs: Sequence[NewJob], tried_ms: int | None, cause: BaseException | None = None
    ) -> list[Enqueued]:
        try:
            await self._spool.put(self.name, jobs, tried_ms=tried_ms)
        except SpoolError as error:
            msg = f"carrier {self.name} is away ({self.breaker.why or 'jobs of the queue wait for it'}), and {error}"
            raise SpoolError(msg) from cause or error
        if self.kept is not None:
            self.kept(self.name, jobs)
        return [Enqueued(job.id) for job in jobs]

    def enqueue_blocking(self, job: NewJob) -> bool:
        """Accept a job from another thread without the loop; false: it is to be enqueued through it."""
        blocking = self._blocking
        if blocking is None or not self.breaker.admits or self._watch.holds(self.name, job.queue):
            return False
        since = self._clock.now_ms()
        if blocking.enqueue_blocking(job):
            return True
        self._tried[job.id] = since  # it may have arrived all the same
        return False

    def _untried(self, jobs: Sequence[NewJob]) -> int | None:
        """Return since when the carrier may have the first of the jobs that were tried without the loop."""
        found = [since for job in jobs if (since := self._tried.pop(job.id, None)) is not None]
        return min(found, default=None)

    def _no_answer(self) -> str:
        return f"no answer within {self.breaker.thresholds.timeout:g} s"

    def away(self, opened: bool) -> None:  # noqa: FBT001 - what the breaker answers
        """Say that the carrier is away, when it has just been found out."""
        if opened:
            _log.warning(
                "carrier %s does not answer: its jobs go to the spool %s until it does: %s",
                self.name,
                self._spool.path,
                self.breaker.why,
            )

    def back(self, closed: bool) -> None:  # noqa: FBT001 - as above
        """Say that the carrier is back."""
        if closed:
            seconds = time.monotonic() - self.breaker.opened
            _log.warning("carrier %s answers again, after %.1f s", self.name, seconds)

    # --- jobs that it does not have yet -------------------------------------------------------------------------

    async def get(self, ids: Sequence[JobId]) -> builtins.list[JobRecord | None]:
        """Return the records; those of jobs in the spool too."""
        return await self._waiting.get(ids)

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait for the job's end; first until it has left the spool."""
        return await self._waiting.wait_finished(job_id, timeout_ms)

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> builtins.list[CancelResult]:
        """Cancel jobs, those in the spool too."""
        return await self._waiting.cancel(ids, reason)
