"""What every API call goes through, whichever way it came in: seeded faults, and errors in the API's own terms."""

from __future__ import annotations

import asyncio
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


_under_way: Final[set[asyncio.Task[None]]] = set()


async def answer(name: str, perform: Perform[Request, Response], request: Request, dice: Dice) -> Response:
    """Perform a call. Raises nothing but ApiError."""
    if dice.call_refused():
        raise ApiError(Code.UNAVAILABLE, "The service is currently unavailable.")
    try:
        response = await _to_its_end(perform, request)
    except ApiError:
        raise
    except Exception as error:
        _log.exception("%s failed", name)
        raise ApiError(Code.INTERNAL, "Internal error encountered.") from error
    if dice.call_lost():
        raise ApiError(Code.UNAVAILABLE, "The service is currently unavailable.")
    return response


async def _to_its_end(perform: Perform[Request, Response], request: Request) -> Response:
    """Perform a call to its end, also when its caller gives up half-way: a task that is kept must be dispatched too."""
    done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        try:
            response = await perform(request)
        except Exception as error:  # noqa: BLE001 - the caller's to handle, if it is still there
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(response)

    running = asyncio.create_task(run())
    _under_way.add(running)
    running.add_done_callback(_under_way.discard)
    return await done
