"""The API as a FastAPI application.

FastAPI finds the route and is what others may add their own routes to. Requests are read and answers written by the
table of routes, with msgspec, as everywhere in Headway: an operation's types are checked, documented and tested from
one declaration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from headway.server.rest.endpoint import Endpoint
from headway.server.rest.problem import MEDIA_TYPE, problem
from headway.server.rest.table import ROUTES
from headway.server.rest.wire import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import Lifespan

    from headway.server.rest.operation import Route
    from headway.server.rest.state import ServerState


def rest_application(
    state: Callable[[], ServerState | None], *, max_body: int, lifespan: Lifespan[FastAPI] | None = None
) -> FastAPI:
    """Return the application. `state` returns None until the server is open."""
    # Its own documents are off: they would load scripts of other sites, and know nothing of this table.
    made = FastAPI(
        title="Headway",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    for path, routes in by_path.items():
        # Of any method: the first path that fits counts, and says which methods it has.
        endpoint: Any = Endpoint(routes, state, max_body=max_body)
        made.router.routes.append(StarletteRoute(path, endpoint))
    made.add_exception_handler(HTTPException, _told)
    return made


async def _told(_: Request, error: Exception) -> Response:
    """Say as a problem what the router has to say: 404 and 405."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict((error.headers if isinstance(error, HTTPException) else None) or {})
    kind = {404: "no-route", 405: "method"}.get(status, "http")
    detail = {404: "there is no such path; /openapi.json lists them"}.get(status, "")
    return Response(to_json(problem(status, kind, detail)), status, headers, MEDIA_TYPE)
