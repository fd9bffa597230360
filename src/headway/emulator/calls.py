"""What every API call goes through, whichever way it came in: seeded faults, and errors in the API's own terms."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from headway.emulator.errors import ApiError, Code

if TYPE_CHECKING:
    from headway.emulator.faults import Dice

_log: Final = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
Perform: TypeAlias = Callable[[Request], Awaitable[Response]]


async def answer(name: str, perform: Perform[Request, Response], request: Request, dice: Dice) -> Response:
    """Perform a call. Raises nothing but ApiError."""
    if dice.call_refused():
        raise ApiError(Code.UNAVAILABLE, "The service is currently unavailable.")
    try:
        response = await perform(request)
    except ApiError:
        raise
    except Exception as error:
        _log.exception("%s failed", name)
        raise ApiError(Code.INTERNAL, "Internal error encountered.") from error
    if dice.call_lost():
        raise ApiError(Code.UNAVAILABLE, "The service is currently unavailable.")
    return response
