"""The API over gRPC: no servicer is generated for it, so each method is registered by its name."""

from __future__ import annotations

from collections import defaultdict
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from headway.emulator.calls import answer
from headway.emulator.errors import ApiError, refuse
from headway.http.server import HEAD_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.emulator.faults import Dice
    from headway.emulator.journal import Journal
    from headway.emulator.operations import Operation

_grpc: Final[Any] = import_module("grpc")  # it has no types
_aio: Final[Any] = import_module("grpc.aio")

_DecodeError: Final[type[Exception]] = import_module("google.protobuf.message").DecodeError

_LONGEST_REASON: Final = 1000  # characters: it travels in a header, and may repeat what was sent
_IDLE_MS: Final = 300_000  # of a connection without a call: its client makes another when it needs one
_LARGEST_MESSAGE: Final = 256 * 1024 * 1024
_STATUS: Final = {int(code.value[0]): code for code in _grpc.StatusCode}


def new_server() -> Any:  # noqa: ANN401 - gRPC has no types
    """Return a server that takes batches of the largest tasks, and shares its port with nobody."""
    return _aio.server(
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.so_reuseport", 0),
            ("grpc.server_handshake_timeout_ms", round(HEAD_SECONDS * 1000)),
            ("grpc.max_connection_idle_ms", _IDLE_MS),
        ]
    )


def handlers(operations: Iterable[Operation], dice: Dice, journal: Journal) -> list[Any]:
    """Return one generic handler for each service."""
    services: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for operation in operations:
        services[operation.service][operation.name] = _handler(operation, dice, journal)
    return [_grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]


def _handler(operation: Operation, dice: Dice, journal: Journal) -> Any:  # noqa: ANN401 - gRPC has no types
    async def handle(body: bytes, context: Any) -> Any:  # noqa: ANN401 - gRPC has no types
        try:
            return await answer(operation, _read(operation, body), dice, journal)
        except ApiError as error:
            await context.abort(_STATUS[int(error.code)], error.message[:_LONGEST_REASON])

    return _grpc.unary_unary_rpc_method_handler(
        handle,
        response_serializer=_serialise,
    )


def _read(operation: Operation, body: bytes) -> Any:  # noqa: ANN401 - a message of any class
    try:
        return operation.request.FromString(body)
    except _DecodeError:
        refuse(f"The request is no {operation.request.DESCRIPTOR.name}.")


def _serialise(message: Any) -> bytes:  # noqa: ANN401 - a message of any class
    written: bytes = message.SerializeToString()
    return written
