"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class NotInTimeError(AssertionError):
    """What was awaited did not happen."""


async def until(
    condition: Callable[[], Awaitable[T] | T], what: str, timeout: float = 20.0, *, pause: float = 0.01
) -> T:
    """Ask until the answer is true and return it; NotInTimeError names `what` when `timeout` seconds are over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        answer: Any = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            found: T = answer
            return found
        if loop.time() > deadline:
            msg = f"{what}: not within {timeout:g} s"
            raise NotInTimeError(msg)
        await asyncio.sleep(pause)
