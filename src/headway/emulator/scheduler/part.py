"""Cloud Scheduler as a part of the emulator: it shares its ports, its journal and its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.emulator.delivery import HttpDelivery
from headway.emulator.grpc import handlers
from headway.emulator.locations import Locations
from headway.emulator.operations import location_operations
from headway.emulator.rest import routes
from headway.emulator.scheduler.dispatch import SchedulerDispatcher
from headway.emulator.scheduler.entries import Entries
from headway.emulator.scheduler.operations import operations
from headway.emulator.scheduler.service import SchedulerService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from headway.clock import Clock
    from headway.emulator.credentials import Credentials
    from headway.emulator.dispatch import Deliver
    from headway.emulator.faults import Dice
    from headway.emulator.journal import Journal


class CloudScheduler:
    """Give it to `Emulator(parts=...)` with the same journal and clock.

    `deliver` replaces HTTP towards the targets. Unless `automatic`, nothing runs but by `dispatcher.turn()`.
    `pubsub_host` is where a Pub/Sub emulator listens; without one, Pub/Sub targets are refused.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        dice: Dice,
        *,
        deliver: Deliver | None = None,
        credentials: Credentials | None = None,
        pubsub_host: str | None = None,
        automatic: bool = True,
    ) -> None:
        self._http_delivery = HttpDelivery()
        self._automatic = automatic
        self._entries = Entries(journal)
        self.dispatcher = SchedulerDispatcher(
            self._entries,
            clock,
            deliver or self._http_delivery,
            credentials=credentials,
            dice=dice,
            pubsub_host=pubsub_host,
        )
        self.service = SchedulerService(self._entries, self.dispatcher, clock, pubsub=pubsub_host is not None)
        served = operations(self.service)
        locations = Locations(lambda: (entry.name for entry in self._entries.all()))
        self._handlers = handlers(served, dice, journal)  # over gRPC both APIs share the service of locations
        self._routes = routes([*served, *location_operations(locations)], dice, journal, version="v1")

    @property
    def grpc_handlers(self) -> Sequence[Any]:
        """Generic handlers of gRPC."""
        return self._handlers

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """Routes of the HTTP port, below /v1."""
        return self._routes

    async def open(self) -> None:
        """Take the jobs from the journal, and run what is due."""
        self._entries.load()
        if self._automatic:
            self.dispatcher.start()

    async def reset(self) -> None:
        """Forget all jobs."""
        for name in [entry.name for entry in self._entries.all()]:
            self._entries.drop(name)
            self.dispatcher.changed(name)

    async def close(self) -> None:
        """Break off what is under way; it is made again when the journal is opened the next time."""
        await self.dispatcher.close()
        await self._http_delivery.close()
