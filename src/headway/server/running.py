"""A server of one app: opened, at work, closed."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.records.recorder import Recorder
from headway.records.store import RecordStore
from headway.server.access.audit import Audit
from headway.server.access.authentication import Authenticator
from headway.server.access.keyring import Keyring
from headway.server.access.limits import RateLimits
from headway.server.front import Front
from headway.server.live.live import Live
from headway.server.rest.application import rest_application
from headway.server.rest.guard import Guard, host_names
from headway.server.rest.openapi import openapi_document
from headway.server.rest.replays import Replays
from headway.server.rest.state import ServerState
from headway.server.services.app_services import AppServices
from headway.server.store.database import Database
from headway.service import Services
from headway.telemetry.of_app import AppMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastapi import FastAPI

    from headway.app.app import Headway
    from headway.server.front import MakePages
    from headway.server.rest.endpoint import Receive, Scope, Send

_log: Final = logging.getLogger("headway.server")
MAX_BODY: Final = 32 * 1024 * 1024
"""Bytes of a request's body."""
RATE: Final = 300_000
"""Requests a minute of a caller whose key names no other."""
_USES_EVERY: Final = 10.0  # seconds
_PRUNE_EVERY: Final = 600.0


class ServerOptions(Struct, frozen=True):
    """How a server is to work. `hosts` are names by which it may be called, beside addresses and `localhost`.

    `open_without_keys`: while the app has no key, whoever calls from this machine may do everything. `secure`: it is
    reached by HTTPS alone.
    """

    hosts: tuple[str, ...] = ()
    open_without_keys: bool = False
    secure: bool = False
    max_body: int = MAX_BODY
    rate: int = RATE


class Server:
    """An ASGI application that serves the API of one app; it is open between its lifespan's start and end."""

    def __init__(
        self, app: Headway, options: ServerOptions | None = None, pages: MakePages | None = None
    ) -> None:
        """`pages` makes what is served beside the API, once that is open."""
        self.app = app
        self.options = options or ServerOptions()
        self.state: ServerState | None = None
        self.chores: Chores | None = None
        self.fastapi: FastAPI = rest_application(
            lambda: self.state, max_body=self.options.max_body, lifespan=self._lifespan
        )
        self._front = Front(self.fastapi, pages)
        self._asgi: Any = Guard(self._front, hosts=host_names(self.options.hosts), secure=self.options.secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        await self._asgi(scope, receive, send)

    def stop_streams(self) -> None:
        """End the streams of events: they would keep a server that is to stop."""
        if self.state is not None:
            self.state.live.hub.end_streams()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[ServerState]:
        """Open the app and the access database, and do what the server does beside requests."""
        app = self.app
        database = Database(app.settings.access, app.settings.namespace or app.name)
        await database.open()
        try:
            async with app, AsyncExitStack() as opening:
                audit = Audit(database, app.clock)
                keyring = Keyring(database, app.clock)
                records = await opening.enter_async_context(_records(app))
                services = AppServices(app, database, audit, keyring, records)
                live = Live(services)
                self.state = state = ServerState(
                    services=services,
                    live=live,
                    keyring=keyring,
                    authenticator=Authenticator(
                        keyring, app.clock, open_without_keys=self.options.open_without_keys
                    ),
                    limits=RateLimits(app.clock, self.options.rate),
                    replays=Replays(database, app.clock),
                    metrics=AppMetrics(app, records),
                    document=openapi_document(app),
                )
                await live.open()
                self._front.open(state)
                self.chores = chores = Chores(state, keyring)
                chores.start()
                try:
                    yield state
                finally:
                    self.state = None
                    await live.close()
                    await chores.stop()
                    await audit.finish()
        finally:
            await database.close()

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncGenerator[None]:
        async with self.running():
            yield


@asynccontextmanager
async def _records(app: Headway) -> AsyncGenerator[RecordStore | None]:
    """Open the records where the app keeps them, and record what happens; several servers may do so."""
    if not app.settings.records:
        yield None
        return
    store = RecordStore(app.settings.records, namespace=app.settings.namespace or app.name)
    async with store:
        recorder = Recorder(app, store)
        async with recorder:
            yield store


class Chores:
    """What a server does beside requests. Several servers may do the same at once."""

    def __init__(self, state: ServerState, keyring: Keyring) -> None:
        self._state = state
        self._keyring = keyring
        self.services = Services(_log, "server")

    def start(self) -> None:
        """Begin."""
        asked = self._state.services
        self.services.start("uses of keys", self._keep_uses, first=_USES_EVERY)
        self.services.start("paused queues", asked.queues.resume_due)
        self.services.start("interrupted changes", self._finish_changes)
        self.services.start("acts", asked.acts.work)
        self.services.start("old answers", self._prune, first=_PRUNE_EVERY)

    async def stop(self) -> None:
        """End, and keep what is to be kept."""
        await self.services.stop()
        await self._keyring.keep_uses()

    async def _keep_uses(self) -> float:
        await self._keyring.keep_uses()
        return _USES_EVERY

    async def _finish_changes(self) -> float:
        await self._state.services.changing.finish_interrupted()
        return _USES_EVERY

    async def _prune(self) -> float:
        await self._state.replays.prune()
        return _PRUNE_EVERY
