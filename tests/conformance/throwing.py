"""Tasks that throw what they are told to, each at another place of the way from a call to its outcome.

A module of its own, because a job in a process of its own imports it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NoReturn

from headway import Context, Headway, JobCall, Proceed, Retry
from tests.hostile import THROWN

if TYPE_CHECKING:
    from random import Random

    from headway.brokers.base import Store
    from headway.clock import Clock
    from headway.retry import Decision

AGAIN: Final = Retry(max_attempts=2, initial=0, jitter=0)
armed: Final = [False]
"""Whether arguments throw when they are read: not yet when they are enqueued."""
_left_behind: Final[ContextVar[object]] = ContextVar("left_behind")


def throw(name: str) -> NoReturn:
    raise THROWN[name]()  # noqa: RSE102 - what is there makes one


async def throw_later(name: str) -> NoReturn:
    await asyncio.sleep(0)
    throw(name)


class Argument:
    """An argument that throws when it is read, once that is armed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def model_dump(self, *, mode: str) -> dict[str, str]:
        return {mode: self.name}

    @classmethod
    def model_validate(cls, fields: dict[str, str]) -> Argument:
        if armed[0]:
            throw(fields["json"])
        return cls(fields["json"])


class Result:
    """A result that throws when it is written."""

    def __init__(self, name: str) -> None:
        self.name = name

    def model_dump(self, *, mode: str) -> NoReturn:
        throw(self.name)

    @classmethod
    def model_validate(cls, fields: dict[str, str]) -> Result:
        return cls(fields["json"])


class Throwing:
    """Throws whatever it is asked for: its text, its number, whether it is the same."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:  # noqa: PLE0307 - the case
        throw(self.name)

    def __float__(self) -> float:
        throw(self.name)

    def __eq__(self, _other: object) -> bool:
        throw(self.name)

    __hash__ = None  # type: ignore[assignment]


class ThrowingTextError(Exception):
    """Throws when it is asked for its text."""

    def __str__(self) -> str:  # noqa: PLE0307 - the case
        throw(self.args[0])


class ThrowingPolicy(Retry):
    """Throws when it is asked what follows: what the failed attempt threw, once more."""

    def decide(self, exception: BaseException, attempt: int, rng: Random) -> Decision:
        del attempt, rng
        raise exception


async def coroutine(name: str) -> None:
    await throw_later(name)


async def child_task(name: str) -> None:
    await asyncio.create_task(throw_later(name))


def thread(name: str) -> None:
    throw(name)


def child_of_thread(name: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(throw, name).result()


def process(name: str) -> None:
    throw(name)


async def argument(value: Argument) -> None:
    raise AssertionError(value)


async def result(name: str) -> Result:
    return Result(name)


async def text_of_error(name: str) -> None:
    raise ThrowingTextError(name)


async def progress(ctx: Context, name: str) -> None:
    number: Any = Throwing(name)
    await ctx.progress(number)


def log(ctx: Context, name: str) -> None:
    ctx.log("%s", Throwing(name))


async def policy(name: str) -> None:
    await throw_later(name)


async def context_variable(name: str) -> None:
    _left_behind.set(Throwing(name))


async def neighbour(number: int) -> int:
    await asyncio.sleep(0)
    return number


def neighbour_in_thread(number: int) -> int:
    return number


PLACES: Final = (
    coroutine, child_task, thread, child_of_thread, process, argument, result, text_of_error, progress, log, policy, context_variable,
)  # fmt: skip
AT_ONCE: Final = frozenset({"argument", "result", "policy"})
"""Places behind which another attempt would meet the same, or nobody can say whether to make one."""


async def through(_call: JobCall, proceed: Proceed) -> Any:
    return await proceed()


def build(
    name: str, *, carrier: Store | None = None, clock: Clock | None = None, around: bool = False
) -> Headway:
    """Make the app; `around`: with middleware that lets everything through."""
    made = Headway(name, carrier=carrier, clock=clock)
    if around:
        made.middleware(through)
        made.middleware(through)
    for function in PLACES:
        options: dict[str, Any] = {"retry": AGAIN}
        if function is policy:
            options["retry"] = ThrowingPolicy()
        if function is process:
            options.update(run_in="process", queue="processes")
        made.task(name=function.__name__, timeout=300, **options)(function)
    made.task(name="neighbour", retry=Retry.never())(neighbour)
    made.task(name="neighbour_in_thread", retry=Retry.never())(neighbour_in_thread)
    return made


app = build("throwing")
app_around = build("throwing", around=True)
