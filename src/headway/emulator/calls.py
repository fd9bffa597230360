"""What every API call goes through, whichever way it came in: seeded faults, durability, and the API's own errors."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from headway.emulator import fields
from headway.emulator.errors import ApiError, Code

if TYPE_CHECKING:
    from headway.emulator.faults import Dice
    from headway.emulator.journal import Journal
    from headway.emulator.operations import Operation, Perform
    from headway.emulator.wire import Message

_log: Final = logging.getLogger("headway.emulator")

# Refusals that tell what there is: for a repeated call, ALREADY_EXISTS means accepted, and NOT_FOUND deleted.
_OF_THE_STATE: Final = frozenset(
    {Code.ALREADY_EXISTS, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.ABORTED}
)

_under_way: Final[set[asyncio.Task[None]]] = set()


async def answer(operation: Operation, request: Message, dice: Dice, journal: Journal) -> Message:
    """Perform a call. Raises nothing but ApiError.

    What is answered about the state is on the disk first: what was changed, by the operation itself, and here what a
    reading has seen or a refusal is for. Once the journal has failed, memory is ahead of the disk: nothing is answered.
    """
    journal.check()
    fields.check(request)
    if dice.call_refused():
        raise ApiError(Code.UNAVAILABLE, "The service is currently unavailable.")
    try:
        response = await _to_its_end(operation.perform, request)
    except ApiError as error:
        if error.code in _OF_THE_STATE:
            await journal.commit()
        raise
    except Exception as error:
        _log.exception("%s failed", operation.name)
        raise ApiError(Code.INTERNAL, "Internal error encountered.") from error
    if operation.reads:
        await journal.commit()
    if dice.call_lost():
        raise ApiError(Code.UNAVAILABLE, "The service is currently unavailable.")
    return response


async def _to_its_end(perform: Perform, request: Message) -> Message:
    """Perform a call to its end, also when its caller gives up half-way: a task that is kept must be dispatched too."""
    done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

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
