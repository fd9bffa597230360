"""How the API says no: a code of google.rpc and a message, the same over gRPC and REST."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NoReturn


class Code(IntEnum):
    """The codes of google.rpc.Code that the emulator uses."""

    OK = 0
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_HTTP_STATUS: Final = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


class ApiError(Exception):
    """A call was refused; `message` is what the caller reads."""

    def __init__(self, code: Code, message: str) -> None:
        """Keep both parts beside the text."""
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status of the REST answer."""
        return _HTTP_STATUS.get(self.code, 500)


def invalid(message: str) -> ApiError:
    """Return the error for an argument that cannot be taken."""
    return ApiError(Code.INVALID_ARGUMENT, message)


def refuse(message: str) -> NoReturn:
    """Raise INVALID_ARGUMENT: the message stands where the check does, with no variable for it."""
    raise invalid(message)
