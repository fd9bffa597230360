"""The dashboard within somebody's own ASGI application, below a path."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from headway.dashboard.serving import pages_of
from headway.errors import ConfigError
from headway.server.rest.guard import Guard, host_names
from headway.server.running import Server, ServerOptions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headway.app.app import Headway
    from headway.dashboard.web import Dashboard
    from headway.server.rest.state import ServerState


def mount(
    application: Any,  # noqa: ANN401 - FastAPI, Starlette, Django or any other ASGI application
    jobs: Headway,
    path: str = "/headway",
    *,
    read_only: bool = False,
    hosts: Collection[str] = (),
) -> ASGIApp:
    """Serve the dashboard of `jobs` below `path` of an ASGI application; return what is to be served from now on.

    FastAPI and Starlette get a route, and their lifespan opens what the dashboard needs: they are returned themselves.
    Any other application, such as Django's, is wrapped; its server must speak the lifespan protocol, as uvicorn and
    hypercorn do. People sign in with API keys (`headway keys create`); without one, and only from this machine, nobody
    has to. `read_only`: nothing can be done on it. `hosts`: names by which the application is called, beside localhost
    and addresses. ConfigError for a path that is none.
    """
    if not path.startswith("/") or path.rstrip("/") in {"", "/v1"} or "//" in path:
        msg = (
            f"path {path!r}: must begin with a slash and name a place below the application, such as /headway"
        )
        raise ConfigError(msg)
    path = path.rstrip("/")
    inside = _Inside(jobs, read_only=read_only, hosts=hosts)
    router = getattr(application, "router", None)
    if hasattr(router, "lifespan_context") and hasattr(application, "mount"):
        _within(router, inside)
        application.mount(path, inside)
        found: ASGIApp = application
        return found
    return _Beside(application, inside, path)


class _Inside:
    """The pages, once they are open."""

    def __init__(self, jobs: Headway, *, read_only: bool, hosts: Collection[str]) -> None:
        self._read_only = read_only
        self._server = Server(jobs, ServerOptions(open_without_keys=True), self._pages)
        self._dashboard: Dashboard | None = None
        self._guard = Guard(self._pass_on, hosts=host_names(hosts), secure=False)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Open what the pages need."""
        async with self._server.running():
            try:
                yield
            finally:
                self._dashboard = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._guard(scope, receive, send)

    def _pages(self, state: ServerState) -> Dashboard:
        self._dashboard = pages_of(state, read_only=self._read_only)
        return self._dashboard

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._dashboard is None:
            msg = "the dashboard is not open: the server of this application must run its lifespan"
            raise ConfigError(msg)
        await self._dashboard(scope, receive, send)


def _within(router: Any, inside: _Inside) -> None:  # noqa: ANN401 - Starlette's
    """Open it within the lifespan that the application has."""
    before = router.lifespan_context

    @asynccontextmanager
    async def lifespan(application: Any) -> AsyncGenerator[Any]:  # noqa: ANN401 - as above
        async with inside.open(), before(application) as state:
            yield state

    router.lifespan_context = lifespan


class _Beside:
    """An application, and the pages below a path."""

    def __init__(self, application: ASGIApp, inside: _Inside, path: str) -> None:
        self._application = application
        self._inside = inside
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        path: str = scope.get("path", "")
        if scope["type"] == "http" and (path == self._path or path.startswith(f"{self._path}/")):
            root = scope.get("root_path", "")
            await self._inside({**scope, "root_path": f"{root}{self._path}"}, receive, send)
            return
        await self._application(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Run the lifespan of the pages. That of the application is its own affair: Django has none."""
        await receive()
        try:
            async with self._inside.open():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            message: Message = {"type": "lifespan.startup.failed", "message": str(error)}
            await send(message)
            raise
        await send({"type": "lifespan.shutdown.complete"})
