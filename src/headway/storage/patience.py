"""Repeating a call until it is answered or the patience is over."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct

from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

CALL_DEADLINE: Final = 8.0  # seconds: within the 10 s that Cloud Run leaves a receiver to finish
OPEN_DEADLINE: Final = 3.0  # opening fails soon: the address may be wrong
ANSWER_TIMEOUT: Final = 3.0  # a silent connection is found while the deadline still allows a second try
_BACKOFF_FIRST: Final = 0.02
_BACKOFF_MAX: Final = 1.0


class Unanswered(Exception):  # noqa: N818 - a signal of an attempt to `until_answered`
    """There was no answer, or one that says "later": the call may be repeated, and may have been applied."""


class Answer(Struct, Generic[T], frozen=True):
    """What came back, and whether an earlier try of the same call may have been applied."""

    value: T
    repeated: bool = False


async def until_answered(
    name: str, attempt: Callable[[], Awaitable[T]], *, opening: bool = False
) -> Answer[T]:
    """Try until there is an answer; BrokerUnavailableError names the server when the deadline has passed."""
    loop = asyncio.get_running_loop()
    end = loop.time() + (OPEN_DEADLINE if opening else CALL_DEADLINE)
    delay = _BACKOFF_FIRST
    repeated = False
    cause: BaseException
    while True:
        try:
            within = min(ANSWER_TIMEOUT, max(end - loop.time(), 0.0))
            return Answer(await _answer_within(attempt, within), repeated)
        except TimeoutError as error:
            problem, cause = "no answer in time", error
        except Unanswered as error:
            problem, cause = str(error), error.__cause__ or error
        if loop.time() + delay > end:
            msg = f"{name} cannot be reached ({problem}): is it running, and is the URL right?"
            raise BrokerUnavailableError(msg) from cause
        repeated = True
        # Jitter: the receivers of a fleet must not come back in step.
        await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - no secret
        delay = min(delay * 2, _BACKOFF_MAX)


async def _answer_within(attempt: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Await one try; TimeoutError when it takes longer.

    A try that is given up is cancelled and not waited for: clients clean up at leisure when their server hangs (psycopg
    wants it to hear of the cancellation), or lose a cancellation now and then (redis-py).
    """
    task = asyncio.ensure_future(_run(attempt))
    try:
        await asyncio.wait((task,), timeout=seconds)
        if task.done():
            return task.result()
    except asyncio.CancelledError:
        _give_up(task)
        raise
    _give_up(task)
    raise TimeoutError


async def _run(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()


def _give_up(task: asyncio.Task[T]) -> None:
    task.cancel()
    task.add_done_callback(
        lambda ended: ended.cancelled() or ended.exception()
    )  # looked at: nobody else does
