"""What stands at which path: the API at its own, pages, where there are any, everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headway.server.rest.endpoint import respond
from headway.server.rest.problem import MEDIA_TYPE, problem
from headway.server.rest.wire import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.server.rest.endpoint import Receive, Scope, Send
    from headway.server.rest.state import ServerState

_OF_THE_API: Final = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/v1")


if TYPE_CHECKING:
    MakePages = Callable[[ServerState], Any]  # an ASGI application with pages for people


class Front:
    """An ASGI application before the API and the pages."""

    def __init__(self, api: Any, make: MakePages | None) -> None:  # noqa: ANN401 - any ASGI application
        """`make` makes the pages, once the server is open."""
        self._api = api
        self._make = make
        self._pages: Any = None

    def open(self, state: ServerState) -> None:
        """Begin to serve pages."""
        self._pages = None if self._make is None else self._make(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if self._make is None or scope["type"] != "http" or _is_of_the_api(scope["path"]):
            await self._api(scope, receive, send)
        elif self._pages is None:
            detail = "the server is not open yet"
            await respond(
                send, 503, to_json(problem(503, "starting", detail)), MEDIA_TYPE, {"retry-after": "1"}
            )
        else:
            await self._pages(scope, receive, send)


def _is_of_the_api(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in _OF_THE_API)
