"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class NotInTimeError(AssertionError):
    """What was awaited did not happen."""


async def until(
    condition: Callable[[], T | None], what: str, within: float = 20.0, *, pause: float = 0.01
) -> T:
    """Ask until the answer is true and return it; NotInTimeError names `what` when `within` seconds are over."""

    async def ask() -> T | None:
        return condition()

    return await until_told(ask, what, within, pause=pause)


async def until_told(
    ask: Callable[[], Awaitable[T | None]], what: str, within: float = 20.0, *, pause: float = 0.01
) -> T:
    """Do the same for a question that must be awaited."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not (answer := await ask()):
        if loop.time() > deadline:
            msg = f"{what}: not within {within:g} s"
            raise NotInTimeError(msg)
        await asyncio.sleep(pause)
    return answer
