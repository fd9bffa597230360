"""Records what becomes of the jobs of an app, in a process of its own or inside a server."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING, Final, Self
from uuid import uuid4

from headway.records.following import Following, Told
from headway.records.preparing import Preparing
from headway.records.retention import BATCH, prune
from headway.records.route_versions import RouteVersions
from headway.routing.changing import control_carrier
from headway.service import Services

if TYPE_CHECKING:
    from types import TracebackType

    from headway.app.app import Headway
    from headway.records.store import RecordStore

_log: Final = logging.getLogger("headway.records")
_RETENTION: Final = 60.0  # seconds between two rounds


class Recorder:
    """Follows the carriers of an app, which must be open, and writes what happens. An async context manager.

    Several may run: one records each carrier, the others stand by. No job waits for it; while its database is away, the
    events stay with their carriers.
    """

    def __init__(self, app: Headway, store: RecordStore) -> None:
        """`store` must be open."""
        self._app = app
        self._store = store
        self._holder = f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid4().hex[:8]}"
        self._services = Services(_log, "recorder")
        self._following: dict[str, Following] = {}

    @property
    def told(self) -> dict[str, Told]:
        """How far each carrier is recorded by this process, by name."""
        return {name: one.told for name, one in self._following.items()}

    @property
    def behind_ms(self) -> int:
        """For how long the oldest event has waited that was read and is not recorded yet; 0: none waits."""
        return max((one.behind_ms for one in self.told.values()), default=0)

    async def start(self) -> None:
        """Begin to record."""
        carriers = self._app.carriers
        control = control_carrier(carriers)
        routes = RouteVersions(None if control is None or len(carriers) == 1 else control[1])
        for name, carrier in carriers.items():
            preparing = Preparing(
                name, carrier, self._store, self._app.known_tasks, routes, alone=len(carriers) == 1
            )
            following = self._following[name] = Following(preparing, self._app.clock, self._holder)
            following.start()
        self._services.start("retention", self._forget)

    async def stop(self) -> None:
        """Record no further; another recorder may go on at once."""
        await self._services.stop()
        await asyncio.gather(*(one.stop() for one in self._following.values()))

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def _forget(self) -> float:
        now, settings = self._app.clock.now_ms(), self._app.settings
        removed = await prune(
            self._store,
            completed_before_ms=now - round(settings.records_keep_completed * 1000),
            failed_before_ms=now - round(settings.records_keep_failed * 1000),
        )
        return 0.0 if removed >= BATCH else _RETENTION
