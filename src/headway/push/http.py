"""Between ASGI messages and the requests and responses that a push carrier knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.base import PushResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REFUSED: Final = frozenset({401, 403, 405, 408})


class DisconnectedError(Exception):
    """The sender went away, or took too long, before its request was whole."""


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by lower-case name. Repeated ones are joined: two tokens are no token."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def respond(scope: Scope, send: Send, response: PushResponse) -> None:
    """Send a response, without its body to HEAD."""
    headers = {"content-length": str(len(response.body)), "cache-control": "no-store", **response.headers}
    asks = scope["method"] in {
        "GET",
        "HEAD",
    }  # strangers may, and a sender of jobs keeps its connection for minutes
    if (asks or response.status in _REFUSED) and str(scope.get("http_version", "")).startswith("1"):
        # Its body may be on its way, and without end: the server would read it for nothing.
        headers["connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    body = b"" if scope["method"] == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})


def come_back(status: int, seconds: int) -> PushResponse:
    """Return the answer that brings a task back, not before so many seconds."""
    return PushResponse(status, {"retry-after": str(seconds)})
