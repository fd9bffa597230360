"""One request: who sends it, whether they may, what they ask, what is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from headway.errors import HeadwayError
from headway.raised import in_one_line
from headway.server.access.caller import Caller, Role
from headway.server.rest.operation import Call, Reply
from headway.server.rest.problem import MEDIA_TYPE, ProblemError, problem, problem_of
from headway.server.rest.replays import Kept, checked_key, fingerprint_of
from headway.server.rest.wire import to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping

    from headway.server.access.limits import Allowance
    from headway.server.rest.operation import Route
    from headway.server.rest.state import ServerState

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_log: Final = logging.getLogger("headway.server")
_ANYBODY: Final = Caller("anybody", Role.READ)
_JSON: Final = b"application/json"


class Disconnected(Exception):  # noqa: N818 - nobody's error
    """The client went away before its request was whole."""


class Endpoint:
    """Serves the methods of one path; an ASGI application."""

    def __init__(
        self, routes: Mapping[str, Route], state: Callable[[], ServerState | None], *, max_body: int
    ) -> None:
        """`routes` by method. `state` returns None until the server is open, and behind its end."""
        self._routes = dict(routes)
        if "GET" in routes:
            self._routes["HEAD"] = routes["GET"]
        self._state = state
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        more: dict[str, str] = {}
        try:
            reply, status = await self._answer(scope, receive, headers, more)
        except Disconnected:
            return
        except HeadwayError as error:
            reply, status = _refused(error, scope)
        except Exception as error:  # noqa: BLE001 - a defect: logged, and told without its text
            _log.exception("%s %s failed: %s", scope["method"], scope["path"], in_one_line(error))
            reply = Reply(problem(500, "defect", "the server's log has more"), media_type=MEDIA_TYPE)
            status = 500
        if isinstance(reply.body, AsyncIterator):
            await stream(scope, receive, send, reply, more)
            return
        body = reply.body if isinstance(reply.body, bytes) else to_json(reply.body)
        await respond(send, status, body, reply.media_type, more | reply.headers)

    async def _answer(
        self, scope: Scope, receive: Receive, headers: Mapping[bytes, bytes], more: dict[str, str]
    ) -> tuple[Reply, int]:
        state = self._state()
        if state is None:
            raise ProblemError(503, "not-open", "the server is starting or stopping", {"retry-after": "2"})
        route = self._routes.get(scope["method"])
        if route is None:
            raise ProblemError(405, "method", "", {"allow": ", ".join(sorted(self._routes))})
        caller = await self._identified(state, route, scope, headers, more)
        call = Call(
            state=state,
            caller=caller,
            path={name: unquote(value) for name, value in scope["path_params"].items()},
            query=route.operation.read_query(scope["query_string"]),
            body=None,
            headers=headers,
            url=_url(scope),
        )
        if scope["method"] in {"GET", "HEAD"}:
            return await self._run(route, call)
        body = await read_body(receive, headers, self._max_body)
        self._decode(route, call, headers, body)
        given = headers.get(b"idempotency-key")
        if given is None or scope["method"] != "POST":
            return await self._run(route, call)
        key = checked_key(given)
        who = caller.key_id or "local"
        kept = await state.replays.begin(who, key, fingerprint_of(scope["method"], call.url, body))
        if kept is not None:
            media = kept.headers.pop("content-type", "application/json")
            return Reply(
                kept.body, headers=kept.headers | {"idempotent-replayed": "true"}, media_type=media
            ), kept.status
        try:
            reply, status = await self._run(route, call)
        except HeadwayError as error:
            reply, status = _refused(error, scope)
        except BaseException:
            await state.replays.forget(who, key)
            raise
        sent = reply.body if isinstance(reply.body, bytes) else to_json(reply.body)
        reply.body = sent
        await state.replays.finish(
            who, key, Kept(status, reply.headers | {"content-type": reply.media_type}, sent)
        )
        return reply, status

    async def _identified(
        self,
        state: ServerState,
        route: Route,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        more: dict[str, str],
    ) -> Caller:
        """Return who calls, if they may; writes the headers about their rate into `more`."""
        if route.role is None:
            return _ANYBODY
        client = scope.get("client")
        address = client[0] if client else ""
        given = headers.get(b"authorization")
        authorization = None if given is None else given.decode("latin-1")
        caller = await state.authenticator.identify(authorization, address)
        allowance = state.limits.count(caller.key_id or caller.address, caller.rate)
        more |= _rate_headers(allowance)
        if not allowance.allowed:
            msg = f"more than {allowance.quota} requests in a minute: go on in {allowance.seconds} s"
            raise ProblemError(429, "rate", msg, more | {"retry-after": str(allowance.seconds)})
        if not caller.role.includes(route.role):
            msg = f"this takes the role {route.role}, and this key has {caller.role}"
            raise ProblemError(403, "role", msg, more)
        return caller

    def _decode(self, route: Route, call: Call, headers: Mapping[bytes, bytes], body: bytes) -> None:
        operation = route.operation
        if operation.read_body is None or (not body and operation.body_optional):
            return
        media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media != _JSON or b"content-encoding" in headers:
            msg = "send the body as application/json, without Content-Encoding"
            raise ProblemError(415, "media-type", msg)
        call.body = operation.read_body(body)

    async def _run(self, route: Route, call: Call) -> tuple[Reply, int]:
        reply = await route.operation.handler(call)
        return reply, reply.status or route.operation.status


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """Return the body of a request; ProblemError when it is too large, Disconnected when it does not come."""
    told = headers.get(b"content-length", b"")
    if told.isdigit() and int(told[:20]) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def stream(scope: Scope, receive: Receive, send: Send, reply: Reply, more: Mapping[str, str]) -> None:
    """Send an answer that comes in pieces, until it ends or the client goes away."""
    chunks = cast("AsyncGenerator[bytes]", reply.body)
    headers = _raw_headers(reply.media_type, {**more, **reply.headers})

    async def sending() -> None:
        async with aclosing(chunks):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] != "HEAD":
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.create_task(sending()), asyncio.create_task(left())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def respond(send: Send, status: int, body: bytes, media_type: str, headers: Mapping[str, str]) -> None:
    """Send an answer that is whole."""
    raw = [(b"content-length", str(len(body)).encode()), *_raw_headers(media_type, headers)]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _raw_headers(media_type: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", media_type.encode()),
        *((name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()),
    ]


def _refused(error: HeadwayError, scope: Scope) -> tuple[Reply, int]:
    found = problem_of(error)
    if found is None:
        _log.error("%s %s failed: %s", scope["method"], scope["path"], in_one_line(error))
        return Reply(problem(500, "defect", "the server's log has more"), media_type=MEDIA_TYPE), 500
    told, headers = found
    return Reply(told, headers=headers, media_type=MEDIA_TYPE), told.status


def _rate_headers(allowance: Allowance) -> dict[str, str]:
    return {
        "ratelimit-policy": f'"minute";q={allowance.quota};w=60',
        "ratelimit": f'"minute";r={allowance.remaining};t={allowance.seconds}',
    }


def _url(scope: Scope) -> str:
    query = scope["query_string"]
    return f"{scope['path']}?{query.decode('latin-1')}" if query else scope["path"]


def _too_large(most: int) -> ProblemError:
    return ProblemError(413, "body-too-large", f"the body has more than {most} bytes")
