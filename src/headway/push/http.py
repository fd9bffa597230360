"""Between ASGI messages and the requests and responses that a push carrier knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.base import PushRequest, PushResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY: Final = 1024 * 1024 + 64 * 1024
"""Bytes of a body: what a dispatcher may send, and a margin. What is longer is cut off, so nobody can read it."""
BODY_SECONDS: Final = 10.0  # for a body to arrive: a sender that stalls must not hold a place


class DisconnectedError(Exception):
    """The sender went away, or took too long, before its request was whole."""


async def read_request(
    scope: Scope, receive: Receive, *, limit: int = MAX_BODY, seconds: float = BODY_SECONDS
) -> PushRequest:
    """Read a request, its body cut off behind `limit` bytes; DisconnectedError when it does not come whole."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while len(body) <= limit:
                message = await receive()
                if message["type"] != "http.request":
                    msg = "the sender went away"
                    raise DisconnectedError(msg)
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError as error:
        msg = f"the body did not arrive within {seconds:g} s"
        raise DisconnectedError(msg) from error
    return PushRequest(headers_of(scope.get("headers", ())), bytes(body[:limit]))


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by lower-case name. Repeated ones are joined: two tokens are no token."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def respond(send: Send, response: PushResponse, *, head: bool = False) -> None:
    """Send a response; `head` leaves its body out."""
    length = str(len(response.body))
    headers = {"content-length": length, "cache-control": "no-store", **response.headers}
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if head else response.body})


def come_back(status: int, seconds: int) -> PushResponse:
    """Return the answer that brings a task back, not before so many seconds."""
    return PushResponse(status, {"retry-after": str(seconds)})
