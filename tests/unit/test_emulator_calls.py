"""What every API call of the emulator goes through."""

from __future__ import annotations

import asyncio

import pytest

from headway.emulator.calls import answer
from headway.emulator.errors import ApiError, Code
from headway.emulator.faults import Dice, Faults


async def test_a_call_whose_caller_gives_up_goes_on_to_its_end() -> None:
    committed, ended = asyncio.Event(), asyncio.Event()

    async def perform(request: str) -> str:
        await committed.wait()  # as of a task that is in the journal already
        ended.set()
        return request

    call = asyncio.create_task(answer("CreateTask", perform, "x", Dice(Faults())))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    committed.set()
    async with asyncio.timeout(10):
        await ended.wait()


async def test_errors_are_those_of_the_api() -> None:
    async def broken(_request: str) -> str:
        raise ValueError

    with pytest.raises(ApiError) as raised:
        await answer("CreateTask", broken, "x", Dice(Faults()))
    assert raised.value.code is Code.INTERNAL
