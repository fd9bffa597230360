"""`receiver(app)`: the ASGI application that takes pushed jobs, runs them and answers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Self, TypeVar

from headway.brokers.base import FireCall, PushRequest, PushResponse
from headway.errors import BrokerError, ConfigError, HeadwayError
from headway.job import Delivery, Released, is_job_id
from headway.push.http import DisconnectedError, come_back, headers_of, respond
from headway.push.intake import Intake
from headway.push.opened import Opened
from headway.push.signals import Sigterm
from headway.runtime.resources import CLOSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence
    from types import TracebackType

    from headway.app.app import Headway
    from headway.push.http import Receive, Scope, Send
    from headway.push.served import Served

T = TypeVar("T")

_log = logging.getLogger("headway.push")

_HAND_BACK: Final = 1.0  # seconds of the grace time that are kept for interrupting and handing back
_LAST_ANSWERS: Final = 0.5  # seconds behind the grace time: Cloud Run kills one second after our default
_LAST_CLOSES: Final = 0.8  # seconds behind the grace time, in which resources may close
_LEAST_TO_CLOSE: Final = 0.3  # seconds for that in any case
_UNAVAILABLE: Final = 5  # seconds until a task comes back
_READING_PER_PLACE: Final = 4  # requests whose body may be on its way, for each place
_READY_PATH: Final = "/ready"


class Receiver:
    """An ASGI application. Mount it under any path of another one, or run it with `headway push`.

    `POST` takes jobs, `GET .../ready` tells whether it does (200), or drains or lacks a resource (503). It opens the
    app with the server's lifespan; where it is mounted and hears nothing of that, with the first request. A receiver
    belongs to one loop.
    """

    def __init__(
        self,
        app: Headway,
        *,
        queues: Sequence[str] | None = None,
        carriers: Sequence[str] | None = None,
        concurrency: int | None = None,
        lease: float | None = None,
        grace: float | None = None,
        app_path: str | None = None,
        handle_sigterm: bool = True,
    ) -> None:
        """See `receiver`."""
        settings = app.settings
        self.app = app
        self.queues = frozenset(queues or ())
        self.carriers = None if carriers is None else list(carriers)
        self.concurrency = concurrency or settings.push_concurrency
        self.grace = settings.push_grace if grace is None else grace
        self._lease_ms = round((lease or settings.push_lease) * 1000)
        self._app_path = app_path
        self._sigterm = Sigterm(self._stop_soon) if handle_sigterm else None
        self._opened: Opened | None = None
        self._opening: asyncio.Task[Opened] | None = None
        self._intake = Intake(_READING_PER_PLACE * self.concurrency)
        self._places: set[asyncio.Task[PushResponse]] = set()
        self._draining: asyncio.Task[None] | None = None
        self._stopped = False
        self._end_at = 0.0  # time.monotonic() by which a drain and all that follows should be over

    # --- ASGI ---------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1000})
            case _:
                pass

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.open()
                except HeadwayError as error:
                    _log.error("the receiver of app %r cannot start: %s", self.app.name, error)
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method == "POST":
            try:
                response = await self._post(scope, receive)
            except DisconnectedError as error:
                _log.info("a request did not come whole: %s", error)
                response = PushResponse(408)
        elif method in {"GET", "HEAD"} and scope["path"].endswith(_READY_PATH):
            response = PushResponse(200 if self._serves else 503, {"content-type": "text/plain"}, b"")
        else:
            response = PushResponse(405, {"allow": "POST"})
        await respond(scope, send, response)

    # --- requests -----------------------------------------------------------------------------------------------

    async def _post(self, scope: Scope, receive: Receive) -> PushResponse:
        if (refused := self._full()) is not None:
            return refused
        headers = headers_of(scope.get("headers", ()))
        admitted = await self._safely(headers, self._admit(headers))
        if isinstance(admitted, PushResponse):
            return admitted
        opened, able = admitted
        body = await self._intake.read(receive, lambda: opened.carriers.sums(headers, able))
        # Other requests may have come whole meanwhile.
        if (refused := self._full()) is not None:
            return refused
        request = PushRequest(headers, body.data, body.sums)
        handling = asyncio.create_task(self._safely(headers, self._receive(request, able)))
        self._places.add(handling)
        handling.add_done_callback(self._places.discard)
        # A sender that goes away ends its request, not the job: whatever comes of that is still settled.
        return await asyncio.shield(handling)

    @property
    def _serves(self) -> bool:
        """It takes jobs, as far as it knows before it is open."""
        opened = self._opened
        return not self._stopped and (opened is None or opened.lifespan.is_open)

    def _full(self) -> PushResponse | None:
        if self._stopped:
            return come_back(503, 1)
        return come_back(429, 1) if len(self._places) >= self.concurrency else None

    async def _safely(self, headers: Mapping[str, str], work: Awaitable[T]) -> T | PushResponse:
        """Never raises: the answer says whether the task comes back."""
        try:
            return await work
        except BrokerError as error:
            _log.warning("%s: comes back in %d s: %s", _named(headers), _UNAVAILABLE, error)
        except ConfigError as error:
            _log.error("%s: cannot be received: %s", _named(headers), error)
        except Exception:  # noqa: BLE001 - logged
            _log.exception("%s: the receiver failed", _named(headers))
        return come_back(503, _UNAVAILABLE)

    async def _admit(self, headers: Mapping[str, str]) -> tuple[Opened, list[Served]] | PushResponse:
        opened = await self._ready()
        if not opened.lifespan.is_open:
            return come_back(503, _UNAVAILABLE)
        able = await opened.carriers.admit(headers)
        return able if isinstance(able, PushResponse) else (opened, able)

    async def _receive(self, request: PushRequest, able: Sequence[Served]) -> PushResponse:
        opened = await self._ready()
        served, received = await opened.carriers.receive(
            request, able, worker=opened.next_worker(), lease_ms=self._lease_ms, queues=self.queues
        )
        match received:
            case PushResponse():
                return received
            case FireCall():
                return await opened.fire(received)
            case Delivery():
                if self._stopped:
                    return await served.broker.answer(received, Released())
                if opened.stepping is None or not opened.stepping.late:
                    return await served.runs.run(received)
                response, _ = await asyncio.gather(served.runs.run(received), opened.stepping.step())
                return response

    # --- opening and closing ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the app on the running loop, once; ConfigError when its carrier does not push, BrokerError as usual."""
        if self._opened is None:
            self._stopped = False
            self._draining = None
        await self._ready()

    async def _ready(self) -> Opened:
        if self._opened is not None and self._opened.loop.is_closed():
            self._opened = None  # what it had open is gone with its loop
        if self._opened is not None:
            return self._opened
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Opened:
        if self._sigterm is not None:
            self._sigterm.listen()  # first: what is signalled while it opens must not take jobs afterwards
        try:
            opened = await Opened.open(
                self.app,
                carriers=self.carriers,
                concurrency=self.concurrency,
                lease_ms=self._lease_ms,
                app_path=self._app_path,
            )
        except BaseException:
            if self._sigterm is not None:
                self._sigterm.ignore()
            raise
        self._opened = opened
        return opened

    def _stop_soon(self) -> None:
        self._stopped = True
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(self.grace))

    async def drain(self, grace: float | None = None) -> None:
        """Take no more jobs, finish within the grace time (seconds; default: the receiver's), hand back the rest.

        A second call with a shorter time shortens it.
        """
        if grace is not None and self._draining is not None and not self._draining.done():
            await self._drain(grace)
            return
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(self.grace if grace is None else grace))
        await asyncio.shield(self._draining)

    async def _drain(self, grace: float) -> None:
        begun = time.monotonic()
        self._end_at = begun + grace + _LAST_CLOSES
        self._stopped = True
        if self._places:
            _log.info("the receiver drains: waiting up to %.1f s for %d jobs", grace, len(self._places))
        if self._opened is not None:
            hand_back = min(_HAND_BACK, grace / 2)
            await self._opened.carriers.hand_back(
                begun + grace - hand_back, begun + grace - hand_back / 4, begun + grace + _LAST_ANSWERS
            )
        # What is left is being received or answered at this moment.
        left = begun + grace + _LAST_ANSWERS - time.monotonic()
        if self._places and left > 0:
            await asyncio.wait(set(self._places), timeout=left)
        if self._opened is not None:
            self._opened.carriers.log_end(time.monotonic() - begun)

    async def close(self) -> None:
        """Drain, and close the app."""
        await self.drain()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        opened, self._opened, self._opening = self._opened, None, None
        if self._sigterm is not None:
            self._sigterm.ignore()
        if opened is not None:
            await opened.close(max(_LEAST_TO_CLOSE, min(CLOSE_SECONDS, self._end_at - time.monotonic())))

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain and close."""
        await self.close()


def receiver(
    app: Headway,
    *,
    queues: Sequence[str] | None = None,
    carriers: Sequence[str] | None = None,
    concurrency: int | None = None,
    lease: float | None = None,
    grace: float | None = None,
    app_path: str | None = None,
    handle_sigterm: bool = True,
) -> Receiver:
    """Return the ASGI application that runs the app's pushed jobs.

    `queues`: serve these only; the others' tasks come back later. `carriers`: serve these of the app's only, all that
    push by default. `concurrency`: jobs at once, beyond it 429. `lease` and `grace`: seconds, see the settings
    `push_lease` and `push_grace`; what is None comes from the app's settings. `app_path`: the app as `module:name`, for
    tasks with `run_in="process"`; found by itself where it can be. `handle_sigterm`: drain at SIGTERM, beside what the
    server does at it, where this is the main thread.
    """
    return Receiver(
        app,
        queues=queues,
        carriers=carriers,
        concurrency=concurrency,
        lease=lease,
        grace=grace,
        app_path=app_path,
        handle_sigterm=handle_sigterm,
    )


def _named(headers: Mapping[str, str]) -> str:
    """Name the job for a log line; what the sender says of itself is not believed further than its form."""
    job_id = headers.get("x-headway-job", "")
    return f"job {job_id}" if is_job_id(job_id) else "a task without a job's id"
