"""The API over REST, as gcloud and the discovery-based clients speak it: JSON of protobuf, below /v2."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from headway.emulator.calls import answer
from headway.emulator.errors import ApiError, Code, refuse
from headway.emulator.masks import snake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from headway.emulator.faults import Dice
    from headway.emulator.journal import Journal
    from headway.emulator.operations import Operation
    from headway.emulator.wire import Message

_json: Final[Message] = import_module("google.protobuf.json_format")  # it has no stubs

_LONGEST_REASON: Final = 1000  # characters: it may repeat what was sent
_BODY_SECONDS: Final = 60.0
_LONGEST_BODY: Final = 256 * 1024 * 1024
_FIELDS: Final = frozenset(
    {"page_size", "page_token", "response_view", "filter", "update_mask", "request_id"}
)


class _Path(NamedTuple):
    pattern: re.Pattern[str]
    field: str
    operation: Operation


def application(served: Sequence[BaseRoute]) -> Starlette:
    """Return the application of these routes. As in the API, an unknown path is not found, never redirected."""
    app = Starlette(routes=served)
    app.router.redirect_slashes = False
    return app


def routes(
    operations: Iterable[Operation], dice: Dice, journal: Journal, *, version: str = "v2"
) -> list[Route]:
    """Return the routes of the operations below /`version`."""
    paths = [_path(operation) for operation in operations]

    async def handle(request: Request) -> JSONResponse:
        path = str(request.path_params["path"])
        try:
            name, field, operation = _find(paths, request.method, path)
            body, content_type = await _body(request), request.headers.get("content-type", "")
            if not operation.takes_raw:
                _check_type(body, content_type)
            message = _read(operation, (field, name), request.query_params, body, content_type)
            response = await answer(operation, message, dice, journal)
        except ApiError as error:
            return _refusal(error)
        return JSONResponse(_show(response, request.query_params))

    return [Route(f"/{version}/{{path:path}}", handle, methods=["GET", "POST", "PATCH", "DELETE", "PUT"])]


def _path(operation: Operation) -> _Path:
    field, _, pattern = operation.rule.removeprefix("{").partition("=")
    steps, _, suffix = pattern.partition("}")
    # Only the last part is held free of the colon that begins a verb: ids of projects may have one.
    *inner, last = ["[^/]+" if step == "*" else re.escape(step) for step in steps.split("/")]
    name = "/".join((*inner, last.replace("[^/]", "[^/:]") if suffix.startswith(":") else last))
    return _Path(re.compile(f"({name}){re.escape(suffix)}"), field, operation)


def _find(paths: Iterable[_Path], method: str, path: str) -> tuple[str, str, Operation]:
    for pattern, field, operation in paths:
        if operation.verb == method and (found := pattern.fullmatch(path)):
            return found[1], field, operation
    raise ApiError(Code.NOT_FOUND, f"Method not found: {method} {path}.")


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LONGEST_BODY:
                    refuse("Request payload size exceeds the limit.")
    except TimeoutError:
        raise ApiError(Code.DEADLINE_EXCEEDED, "The body of the request did not come in time.") from None
    return bytes(body)


def _check_type(body: bytes, content_type: str) -> None:
    """A body is JSON, and says so: a web page cannot send it with this type without asking first."""
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        refuse(
            f'The Content-Type of a request with a body must be "application/json", got "{content_type[:100]}".'
        )


def _read(
    operation: Operation, named: tuple[str, str], query: Mapping[str, str], body: bytes, content_type: str
) -> Message:
    message = operation.request()
    try:
        if operation.takes_raw:
            _field(message, operation.body).data = body
            _field(message, operation.body).content_type = content_type
        elif operation.body:
            _json.ParseDict(_parsed(body), _field(message, operation.body))
        _json.ParseDict(_parameters(query), message)
    except (_json.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        refuse(f"Invalid JSON payload received. {str(error)[:_LONGEST_REASON]}")
    *outer, last = named[0].split(".")
    setattr(_field(message, *outer), last, named[1])
    return message


def _parsed(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        refuse(f"Invalid JSON payload received. {error}")
    if not isinstance(found, dict):
        refuse("Invalid JSON payload received. The root of the payload must be an object.")
    return cast("dict[str, Any]", found)


def _field(message: Message, *steps: str) -> Message:
    for step in steps:
        if step != "*":
            message = getattr(message, step)
            message.SetInParent()
    return message


def _parameters(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that are fields of requests; others, such as `alt`, are the transport's."""
    found = {snake(name): value for name, value in query.items() if snake(name) in _FIELDS}
    if "update_mask" in found:
        # protobuf reads masks in camel case only, the service both.
        found["update_mask"] = re.sub(r"_([a-z])", lambda part: part[1].upper(), found["update_mask"])
    return found


def _show(message: Message, query: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    numbers = "enum-encoding=int" in query.get("$alt", query.get("alt", ""))
    return _json.MessageToDict(message, use_integers_for_enums=numbers)


def _refusal(error: ApiError) -> JSONResponse:
    status = HTTPStatus(error.http_status)
    body = {"error": {"code": status.value, "message": error.message, "status": error.code.name}}
    return JSONResponse(body, status_code=status.value)
