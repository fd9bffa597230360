"""What a route does: its function, and the types of what comes in and goes out."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from headway.server.rest.wire import decoder_of, query_reader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from headway.server.access.caller import Caller, Role
    from headway.server.rest.state import ServerState


@dataclass(slots=True)
class Call:
    """One request, as its operation sees it. `query` and `body` are of the types that the operation names."""

    state: ServerState
    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[bytes, bytes]
    url: str  # path and query, as they came in


@dataclass(slots=True)
class Reply:
    """What is answered. `body` is encoded as JSON; bytes are sent as they are, of `media_type`."""

    body: object = None
    status: int = 0  # 0: the operation's own
    headers: dict[str, str] = field(default_factory=dict[str, str])
    media_type: str = "application/json"


class NoQuery(Struct, frozen=True):
    """A query without parameters."""


if TYPE_CHECKING:
    Handler = Callable[[Call], Awaitable[Reply]]


class Operation(NamedTuple):
    """A function of the API, with what its documentation needs. `example` is a body that can be sent."""

    name: str
    handler: Handler
    summary: str
    body: Any
    query: type[Struct]
    answer: Any
    status: int
    example: Any
    body_optional: bool
    media_type: str
    read_body: Callable[[bytes], Any] | None
    read_query: Callable[[bytes], Any]


def operation(
    *,
    body: Any = None,  # noqa: ANN401 - any type
    query: type[Struct] = NoQuery,
    answer: Any = None,  # noqa: ANN401 - any type
    status: int = 200,
    example: Any = None,  # noqa: ANN401 - any value of JSON
    body_optional: bool = False,
    media_type: str = "application/json",
) -> Callable[[Handler], Operation]:
    """Make an operation of a function; its docstring is the summary."""

    def make(handler: Handler) -> Operation:
        name = getattr(handler, "__name__", "operation")
        return Operation(
            name,
            handler,
            inspect.cleandoc(handler.__doc__ or ""),
            body,
            query,
            answer,
            status,
            example,
            body_optional,
            media_type,
            None if body is None else decoder_of(body),
            query_reader(query),
        )

    return make


class Route(NamedTuple):
    """One line of the table of routes. `role` None: anybody may call it, without a key."""

    method: str
    path: str
    role: Role | None
    operation: Operation

    @property
    def tag(self) -> str:
        """The resource, by which the documentation is ordered."""
        parts = self.path.strip("/").split("/")
        return parts[1] if parts[0] == "v1" and len(parts) > 1 else "server"
