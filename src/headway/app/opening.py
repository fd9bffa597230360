"""What an app has open: one carrier for each event loop that opened it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

from headway.errors import HeadwayError, PartlyAcceptedError, UnsupportedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from headway.app.batching import Batcher
    from headway.app.prepared import PreparedJob
    from headway.app.task import Task
    from headway.brokers.base import (
        BrokerSettings,
        Capabilities,
        Carrier,
        Enqueued,
        PushCarrier,
        Store,
    )
    from headway.cache.url import OpenCache
    from headway.clock import Clock
    from headway.config import Settings
    from headway.job import JobId, NewJob
    from headway.offload.payloads import Offload

R = TypeVar("R")
_BATCH = 1000
_ALONE = 64  # jobs on their way at once to a carrier that takes each by itself


class OpenApp:
    """An app open on one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        carrier: Store,
        enqueuer: Batcher[NewJob, Enqueued],
        clock: Clock,
        offload: Offload | None,
        *,
        carriers: Mapping[str, Store] | None = None,
    ) -> None:
        self.loop = loop
        self.carrier = carrier
        self.carriers: Mapping[str, Store] = {"main": carrier} if carriers is None else carriers
        self.enqueuer = enqueuer
        self.users = 0
        self.cache: OpenCache | None = None
        self.host: OpenApp | None = None  # what this is a guest of
        self._clock = clock
        self._limits: Capabilities = carrier.capabilities
        self._lender = self._limits.lender
        self._offload = offload
        self._over = sys.maxsize if offload is None else min(offload.over, self._limits.max_payload)

    def guest(
        self, loop: asyncio.AbstractEventLoop, carrier: Store, enqueuer: Batcher[NewJob, Enqueued]
    ) -> OpenApp:
        """Return the same as another loop uses it, through a carrier that passes its calls on."""
        guest = OpenApp(loop, carrier, enqueuer, self._clock, self._offload)
        guest.host = self
        return guest

    @property
    def pull_carrier(self) -> Carrier:
        """The carrier, with workers; ConfigError when it pushes."""
        from headway.brokers.url import pulled  # noqa: PLC0415 - drivers are loaded when they are needed

        return pulled(self.carrier)

    @property
    def push_carrier(self) -> PushCarrier:
        """The carrier, pushing; ConfigError when it has workers."""
        from headway.brokers.url import pushed  # noqa: PLC0415 - as above

        return pushed(self.carrier)

    def accept(self, job: NewJob) -> Awaitable[Enqueued]:
        """Check one job against the carrier's capabilities and enqueue it with the others of this loop turn."""
        self._check(job)
        if len(job.payload) > self._over:
            return self._accept_large(job)
        return self.enqueuer.submit(job)

    def accept_lent(self, job: NewJob) -> bool:
        """Accept one job from another thread without the loop; false when it has to go through it."""
        lender = self._lender
        if lender is None or len(job.payload) > self._over:
            return False
        self._check(job)
        return lender.enqueue_lent(job)

    def lend(self) -> None:
        """Let the next blocking enqueues do without the loop, where the carrier can."""
        if self._lender is not None and self.enqueuer.idle:
            self._lender.lend()

    async def _accept_large(self, job: NewJob) -> Enqueued:
        (shrunk,) = await self.shrunk([job])
        return await self.enqueuer.submit(shrunk)

    async def shrunk(self, jobs: list[NewJob]) -> list[NewJob]:
        """Return the jobs with large payloads offloaded, if the app has a store for them."""
        return jobs if self._offload is None else await self._offload.shrunk(jobs, self._over)

    async def enqueue_many(
        self, jobs: Iterable[PreparedJob[R]]
    ) -> AsyncIterator[tuple[list[PreparedJob[R]], list[Enqueued]]]:
        """Enqueue in batches, and yield each with its answers; see `Headway.enqueue_many`."""
        if at_hand := isinstance(jobs, Sequence):
            for job in jobs:  # all of them, before the first is written
                self._check(job.new)
        batch: list[PreparedJob[R]] = []
        for job in jobs:
            if not at_hand:
                self._check(job.new)
            batch.append(job)
            if len(batch) == _BATCH:
                yield batch, await self._enqueue(batch)
                batch = []
        if batch:
            yield batch, await self._enqueue(batch)

    async def _enqueue(self, batch: list[PreparedJob[R]]) -> list[Enqueued]:
        return await self.carrier.enqueue(await self.shrunk([job.new for job in batch]))

    def _check(self, job: NewJob) -> None:
        limits = self._limits
        if limits.max_payload < len(job.payload) <= self._over:
            size = len(job.payload)
            msg = f"task {job.task!r}: {limits.name} takes payloads of {limits.max_payload} bytes, this has {size}"
            raise UnsupportedError(msg)
        if (
            limits.max_delay_ms is not None
            and job.due_ms is not None
            and job.due_ms - self._clock.now_ms() > limits.max_delay_ms
        ):
            msg = f"task {job.task!r}: {limits.name} takes delays of at most {limits.max_delay_ms / 86_400_000:g} days"
            raise UnsupportedError(msg)
        if job.unique is not None and not limits.unique:
            msg = f"task {job.task!r}: {limits.name} has no unique jobs"
            raise UnsupportedError(msg)


class OpenApps:
    """The loops on which an app is open, and how it is opened."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        carrier: Store | Mapping[str, Store] | None,
        clock: Clock | None,
        *,
        offload: Offload | None = None,
        tasks: Mapping[str, Task[Any, Any]] | None = None,
        elsewhere: Callable[[], asyncio.AbstractEventLoop | None] | None = None,
    ) -> None:
        """`elsewhere` returns a loop of another thread on which the app is open for whoever has not opened it."""
        self._elsewhere = elsewhere
        self._guests: WeakKeyDictionary[asyncio.AbstractEventLoop, OpenApp] = WeakKeyDictionary()
        self._name = name
        self._tasks = tasks
        self._offload = offload
        self._settings = settings
        self._given = carrier
        self._clock = clock
        self._by_loop: dict[asyncio.AbstractEventLoop, OpenApp] = {}
        self._running_loop: Callable[[], asyncio.AbstractEventLoop] | None = None  # once it was opened

    def here(self) -> OpenApp:
        """Return what is open on the running loop, or through it on another; HeadwayError when nothing is."""
        try:
            opened = None if self._running_loop is None else self._by_loop.get(self._running_loop())
        except RuntimeError:
            opened = None
        opened = opened or self._as_guest()
        if opened is None:
            msg = f"app {self._name!r} is not open on this event loop: use `async with app:`, or `.sync` off the loop"
            raise HeadwayError(msg)
        return opened

    def _as_guest(self) -> OpenApp | None:
        """Return what is open on another thread's loop, to be used from the running one; None: nothing is."""
        import asyncio  # noqa: PLC0415 - costs 30 ms that `import headway` need not pay

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        other = None if self._elsewhere is None else self._elsewhere()
        there = None if other is None or other is loop else self._by_loop.get(other)
        if there is None:
            return None
        from headway.app.elsewhere import CarrierElsewhere  # noqa: PLC0415 - few programs need it

        guest = self._guests.get(loop)
        if guest is None or guest.host is not there:
            carrier = cast("Store", CarrierElsewhere(there.carrier, there.loop))
            guest = there.guest(loop, carrier, enqueuer_of(carrier))
            self._guests[loop] = guest
        return guest

    def cache(self) -> OpenCache:
        """Return the cache of the running loop, made when it is first asked for; ConfigError when none is set."""
        here = self.here()
        if here.cache is None:
            from headway.cache.url import from_url  # noqa: PLC0415 - few apps need it

            namespace = self._settings.namespace or self._name
            here.cache = from_url(self._settings.cache, namespace=namespace, clock=self._clock)
        return here.cache

    def on(self, loop: asyncio.AbstractEventLoop) -> OpenApp | None:
        """Return what is open on that loop; from any thread."""
        return self._by_loop.get(loop)

    async def open(self) -> OpenApp:
        """Open on the running loop, or count one user more."""
        import asyncio  # noqa: PLC0415 - costs 30 ms that `import headway` need not pay

        from headway.brokers.url import from_url  # noqa: PLC0415 - drivers are loaded when they are needed
        from headway.clock import SystemClock  # noqa: PLC0415 - as above

        loop = asyncio.get_running_loop()
        self._running_loop = asyncio.get_running_loop
        for stale in [other for other in self._by_loop if other.is_closed()]:
            del self._by_loop[stale]
        opened = self._by_loop.get(loop)
        if opened is None:
            given = self._given or from_url(
                self._settings.url,
                broker_settings(self._name, self._settings, self._tasks),
                clock=self._clock,
            )
            carriers = given if isinstance(given, Mapping) else {"main": given}
            carrier = next(iter(carriers.values()))
            clock = self._clock or SystemClock()
            opened = OpenApp(loop, carrier, enqueuer_of(carrier), clock, self._offload, carriers=carriers)
            self._by_loop[loop] = opened
            opened.users += 1
            try:
                if self._offload is not None:
                    await self._offload.open()
                for one in carriers.values():
                    await one.open()
            except BaseException:
                self._by_loop.pop(loop, None)
                for one in carriers.values():
                    await one.close()
                raise
            return opened
        opened.users += 1
        return opened

    async def close(self) -> bool:
        """Count one user less; close with the last and tell so."""
        opened = self.here()
        opened.users -= 1
        if opened.users:
            return False
        try:
            await opened.enqueuer.finish()
        finally:
            self._by_loop.pop(opened.loop, None)
            for carrier in opened.carriers.values():
                await carrier.close()
            if opened.cache is not None:
                await opened.cache.close()
        return True


def partly_accepted(accepted: list[JobId], error: Exception) -> PartlyAcceptedError:
    """Say what was accepted before the batch that failed, and of that batch by a carrier that takes each by itself."""
    if isinstance(error, PartlyAcceptedError):
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        return PartlyAcceptedError([*accepted, *error.accepted], cause)
    return PartlyAcceptedError(accepted, error)


def enqueuer_of(carrier: Store) -> Batcher[NewJob, Enqueued]:
    """Return what makes few calls of the enqueues of many callers; for the running loop."""
    from headway.app.batching import Batcher  # noqa: PLC0415 - loads asyncio, which `import headway` need not

    able = carrier.capabilities
    if not able.atomic:
        # Each with an answer of its own: what befalls one job is nothing to those beside it.
        return Batcher(carrier.enqueue, limit=1, parallel=_ALONE)
    return Batcher(carrier.enqueue, begin=None if able.starter is None else able.starter.begin_enqueue)


def broker_settings(
    name: str, settings: Settings, tasks: Mapping[str, Task[Any, Any]] | None = None
) -> BrokerSettings:
    """Return what a driver is opened with for an app of this name."""
    from headway.brokers.base import BrokerSettings, Retention  # noqa: PLC0415 - as above

    return BrokerSettings(
        namespace=settings.namespace or name,
        retention=Retention(
            succeeded_ms=round(settings.keep_succeeded * 1000),
            failed_ms=round(settings.keep_failed * 1000),
            max_succeeded=settings.max_succeeded,
        ),
        record_events=settings.record_events,
        timeout_ms=round(settings.timeout * 1000),
        timeouts={task.name: task.options_declared.timeout_ms for task in (tasks or {}).values()},
        options=settings,
    )
