"""What an app has open: one carrier for each event loop that opened it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

from headway.app.open_app import OpenApp
from headway.errors import HeadwayError, PartlyAcceptedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from headway.app.accepting import OneAcceptor
    from headway.app.task import Task
    from headway.brokers.base import (
        BrokerSettings,
        Enqueued,
        Store,
    )
    from headway.cache.url import OpenCache
    from headway.clock import Clock
    from headway.config import Settings
    from headway.job import JobId, NewJob
    from headway.offload.payloads import Offload
    from headway.routing.failover.failover import Failover

R = TypeVar("R")
_BATCH = 1000


class OpenApps:
    """The loops on which an app is open, and how it is opened."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        carriers: Mapping[str, Store] | None,
        clock: Clock | None,
        *,
        offload: Offload | None = None,
        tasks: Mapping[str, Task[Any, Any]] | None = None,
        elsewhere: Callable[[], asyncio.AbstractEventLoop | None] | None = None,
    ) -> None:
        """`carriers` take the place of those that the settings name.

        `elsewhere` returns another thread's loop on which the app is open, for loops that have not opened it.
        """
        self._elsewhere = elsewhere
        self._guests: WeakKeyDictionary[asyncio.AbstractEventLoop, OpenApp] = WeakKeyDictionary()
        self._name = name
        self._tasks = tasks
        self._offload = offload
        self._settings = settings
        self._given = carriers
        self._clock = clock
        self._by_loop: dict[asyncio.AbstractEventLoop, OpenApp] = {}
        self._running_loop: Callable[[], asyncio.AbstractEventLoop] | None = None  # once it was opened

    @property
    def pulls(self) -> dict[str, bool]:
        """Whether workers claim the jobs, for each carrier by name; false: it pushes them. Connects to nothing."""
        if self._given is None:
            return pulls_of(self._settings)
        return {name: one.capabilities.pull is not None for name, one in self._given.items()}

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
            carriers = {
                name: cast("Store", CarrierElsewhere(one, there.loop)) for name, one in there.carriers.items()
            }
            guest = OpenApp(loop, carrier, self._acceptor(carrier), carriers)
            guest.host = there
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

        loop = asyncio.get_running_loop()
        self._running_loop = asyncio.get_running_loop
        for stale in [other for other in self._by_loop if other.is_closed()]:
            del self._by_loop[stale]
        opened = self._by_loop.get(loop)
        if opened is None:
            opened = self._opened(loop)
            carrier = opened.carrier
            self._by_loop[loop] = opened
            opened.users += 1
            try:
                if self._offload is not None:
                    await self._offload.open()
                if opened.failover is not None:
                    await opened.failover.open()
                await carrier.open()
                if opened.failover is not None:
                    opened.failover.start()
            except BaseException:
                self._by_loop.pop(loop, None)
                await carrier.close()
                if opened.failover is not None:
                    await opened.failover.close()
                raise
            return opened
        opened.users += 1
        return opened

    def _opened(self, loop: asyncio.AbstractEventLoop) -> OpenApp:
        """Make the carrier to open: a single one, or several behind the app's routes."""
        from headway.brokers.url import from_url  # noqa: PLC0415 - drivers are loaded when they are needed

        stores = self._given
        if stores is None:
            settings = broker_settings(self._name, self._settings, self._tasks)
            urls = self._settings.carrier_urls
            stores = {name: from_url(url, settings, clock=self._clock) for name, url in urls.items()}
        failover = self._failover(stores) if self._settings.spool else None
        if len(stores) == 1:
            (carrier,) = stores.values() if failover is None else failover.stores.values()
            opened = OpenApp(loop, carrier, self._acceptor(carrier), stores)
        else:
            from headway.app.routed import open_routed  # noqa: PLC0415 - few apps have several
            from headway.clock import SystemClock  # noqa: PLC0415 - loads asyncio

            clock = self._clock or SystemClock()
            opened = open_routed(
                loop,
                stores,
                self._settings.routes,
                self._acceptor,
                clock,
                tasks=(self._tasks or {}).values(),
                failover=failover,
            )
        opened.failover = failover
        return opened

    def _failover(self, stores: Mapping[str, Store]) -> Failover:
        from headway.clock import SystemClock  # noqa: PLC0415 - loads asyncio
        from headway.routing.failover.failover import Failover  # noqa: PLC0415 - few apps have a spool

        name = self._settings.namespace or self._name
        return Failover(name, stores, self._settings, self._clock or SystemClock())

    def _acceptor(
        self,
        carrier: Store,
        answered: Callable[[Sequence[NewJob], Sequence[Enqueued]], None] | None = None,
    ) -> OneAcceptor:
        from headway.app.accepting import OneAcceptor, enqueuer_of  # noqa: PLC0415 - loads asyncio
        from headway.clock import SystemClock  # noqa: PLC0415 - as above

        enqueuer = enqueuer_of(carrier, answered)
        return OneAcceptor(carrier, enqueuer, self._clock or SystemClock(), self._offload)

    async def close(self) -> bool:
        """Count one user less; close with the last one, and return whether it did."""
        opened = self.here()
        opened.users -= 1
        if opened.users:
            return False
        try:
            await opened.acceptor.finish()
        finally:
            self._by_loop.pop(opened.loop, None)
            if opened.failover is not None:
                await opened.failover.close()
            await opened.carrier.close()
            if opened.cache is not None:
                await opened.cache.close()
        return True


def partly_accepted(accepted: list[JobId], error: Exception) -> PartlyAcceptedError:
    """Note which jobs were accepted: those before the failed batch, and those in it that a carrier took singly."""
    if isinstance(error, PartlyAcceptedError):
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        return PartlyAcceptedError([*accepted, *error.accepted], cause)
    return PartlyAcceptedError(accepted, error)


def pulls_of(settings: Settings) -> dict[str, bool]:
    """Return for each carrier of the settings whether workers claim its jobs; false: it pushes them."""
    from headway.brokers.url import pushes  # noqa: PLC0415 - when it is needed

    return {name: not pushes(url) for name, url in settings.carrier_urls.items()}


def broker_settings(
    name: str, settings: Settings, tasks: Mapping[str, Task[Any, Any]] | None = None
) -> BrokerSettings:
    """Return the settings that a driver is opened with, for an app of this name."""
    from headway.brokers.base import BrokerSettings, Retention  # noqa: PLC0415 - as above

    return BrokerSettings(
        namespace=settings.namespace or name,
        retention=Retention(
            succeeded_ms=round(settings.keep_succeeded * 1000),
            failed_ms=round(settings.keep_failed * 1000),
            max_succeeded=settings.max_succeeded,
        ),
        record_events=settings.record_events or bool(settings.records),
        timeout_ms=round(settings.timeout * 1000),
        timeouts={task.name: task.options_declared.timeout_ms for task in (tasks or {}).values()},
        options=settings,
    )
