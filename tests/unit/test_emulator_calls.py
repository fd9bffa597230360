"""What every API call of the emulator goes through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import StringValue  # type: ignore[import-untyped]

from headway.emulator.calls import answer
from headway.emulator.errors import ApiError, Code
from headway.emulator.faults import Dice, Faults
from headway.emulator.journal import Journal
from headway.emulator.operations import TASKS, Operation

if TYPE_CHECKING:
    from headway.emulator.operations import Perform


def create_task(perform: Perform) -> Operation:
    return Operation(TASKS, "CreateTask", StringValue, perform, "POST", "")


async def test_a_call_whose_caller_gives_up_goes_on_to_its_end() -> None:
    committed, ended = asyncio.Event(), asyncio.Event()

    async def perform(request: StringValue) -> StringValue:
        await committed.wait()  # as of a task that is in the journal already
        ended.set()
        return request

    call = asyncio.create_task(
        answer(create_task(perform), StringValue(value="x"), Dice(Faults()), Journal())
    )
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    committed.set()
    async with asyncio.timeout(10):
        await ended.wait()


async def test_errors_are_those_of_the_api() -> None:
    async def broken(_request: StringValue) -> StringValue:
        raise ValueError

    with pytest.raises(ApiError) as raised:
        await answer(create_task(broken), StringValue(), Dice(Faults()), Journal())
    assert raised.value.code is Code.INTERNAL
