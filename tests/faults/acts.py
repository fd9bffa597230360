"""What people and programs do to jobs while others run: each act asks for jobs of its own, and knows what must become of them.

An act that loses its carrier on the way leaves open what becomes of its jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from headway import Unique
from headway.errors import BrokerError
from headway.job import JobId, JobState
from tests.faults.group import ROOT
from tests.faults.plans import FAR, Asked, Want, dropped, ended
from tests.faults.soak_jobs import SIDE
from tests.faults.until import until, until_told

if TYPE_CHECKING:
    from random import Random

    from tests.faults.book import Book
    from tests.faults.shop import Shop

_DRAINED: Final = "drained"
_LONG: Final = 60.0  # seconds that an act waits for what must come


class ActError(AssertionError):
    """An act was answered otherwise than it must be."""


async def _waiting(book: Book, count: int = 1, **options: Any) -> list[Asked]:
    made = [
        Asked(f"{book.tag()}.{number}", "soak_succeed", options={"delay": FAR, **options}, want=None)
        for number in range(count)
    ]
    await book.ask(made, "one by one")
    if any(one.id is None and one.duplicate_of is None for one in made):
        msg = "the act ends here: a call failed"
        raise BrokerError(msg)
    return made


def _id(one: Asked) -> JobId:
    assert one.id is not None, one
    return one.id


async def cancel_waiting(shop: Shop, book: Book) -> None:
    (one,) = await _waiting(book)
    await shop.carrier.cancel([_id(one)], "not wanted")
    one.want = dropped("not wanted", runs=False)


async def cancel_running(shop: Shop, book: Book) -> None:
    one = Asked(book.tag(), "soak_hang", want=None)
    await book.ask([one], "one by one")
    if one.id is not None:
        await until(lambda: shop.effects([_id(one)], "start"), "the job to cancel starts", _LONG)
        await shop.carrier.cancel([one.id], "too slow")
        one.want = dropped("too slow")


async def retry_by_hand(shop: Shop, book: Book) -> None:
    one = Asked(book.tag(), "soak_revive", want=None)
    await book.ask([one], "one by one")
    if one.id is None:
        return

    async def failed() -> bool:
        return await shop.states([_id(one)]) == [JobState.FAILED]

    await until_told(failed, "the job to retry fails", _LONG, pause=0.05)
    await shop.carrier.retry([one.id])
    one.want = Want(attempts=1)


async def promote(shop: Shop, book: Book) -> None:
    (one,) = await _waiting(book)
    await shop.carrier.promote([_id(one)])
    one.want = Want(attempts=1)


async def remove(shop: Shop, book: Book) -> None:
    (one,) = await _waiting(book)
    await shop.carrier.remove([_id(one)])
    one.removed = True


async def pause(shop: Shop, book: Book) -> None:
    await shop.carrier.pause(SIDE)
    made = [Asked(f"{book.tag()}.{number}", "soak_side", want=Want(attempts=1)) for number in range(3)]
    try:
        await book.ask(made, "gather")
        await asyncio.sleep(0.2)  # time in which none may start
        ids = [one.id for one in made if one.id is not None]
        if begun := shop.effects(ids, "start"):
            msg = f"{len(begun)} jobs of a paused queue were started"
            raise ActError(msg)
    finally:
        await _whatever_it_takes(lambda: shop.carrier.resume(SIDE))


async def drain(shop: Shop, book: Book) -> None:
    made = await _waiting(book, 3, queue=_DRAINED)
    await shop.carrier.drain(_DRAINED)
    for one in made:
        one.removed = True


async def reject(shop: Shop, book: Book) -> None:
    await _refused(shop, book, unique=Unique(by=f"reject {book.tag()}"))


async def throttle(shop: Shop, book: Book) -> None:
    await _refused(shop, book, unique=Unique(mode="throttle", by=f"throttle {book.tag()}", window=FAR))


async def same_key(shop: Shop, book: Book) -> None:
    await _refused(shop, book, key=f"same {book.tag()}")


async def _refused(shop: Shop, book: Book, **options: Any) -> None:
    (first,) = await _waiting(book, **options)
    (second,) = await _waiting(book, **options)
    if second.duplicate_of != first.id:
        msg = f"{second.tag} was to be refused as a duplicate of {first.id}, and is {second}"
        raise ActError(msg)
    await shop.carrier.promote([_id(first)])
    first.want = Want(attempts=1)


async def debounce(shop: Shop, book: Book) -> None:
    await _replaced(shop, book, Unique(mode="debounce", by=f"debounce {book.tag()}"))


async def keep_last(shop: Shop, book: Book) -> None:
    await _replaced(shop, book, Unique(mode="keep_last", by=f"keep last {book.tag()}"))


async def _replaced(shop: Shop, book: Book, unique: Unique) -> None:
    (first,) = await _waiting(book, unique=unique)
    (second,) = await _waiting(book, unique=unique)
    first.want = dropped(f"replaced by {second.id}", runs=False)
    await shop.carrier.promote([_id(second)])
    second.want = Want(attempts=1)


async def keep_last_while_one_runs(shop: Shop, book: Book) -> None:
    """The second waits for the end of the first, which its time limit brings."""
    unique = Unique(mode="keep_last", by=f"held {book.tag()}")
    first = Asked(book.tag(), "soak_overtime", options={"unique": unique}, want=None)
    await book.ask([first], "one by one")
    if first.id is None:
        return
    await until(lambda: shop.effects([_id(first)], "start"), "the holder starts", _LONG)
    second = Asked(book.tag(), "soak_succeed", options={"unique": unique}, want=Want(attempts=1))
    await book.ask([second], "one by one")
    first.want = ended("JobTimeoutError")


async def kill_producer(shop: Shop, book: Book) -> None:
    """A program that enqueues is killed in the middle: what it was told is accepted exists, the rest once at most."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.producer",
        prefix := book.tag(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, **shop.environ()},
    )
    assert process.stdout is not None
    heard: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            while len(heard) < 3 + sum(map(ord, prefix)) % 20 and (line := await process.stdout.readline()):
                heard.append(line)
    except TimeoutError:
        pass  # its carrier is away
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        heard.append(await process.stdout.read())
        await process.wait()
    book.hear(b"".join(heard).decode())


async def _whatever_it_takes(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call until its carrier takes it."""
    while True:
        try:
            await call()
        except BrokerError:
            await asyncio.sleep(0.1)
        else:
            return


Act = Callable[["Shop", "Book"], Awaitable[None]]
ACTS: Final[tuple[Act, ...]] = (
    cancel_waiting,
    cancel_running,
    retry_by_hand,
    promote,
    remove,
    pause,
    drain,
    reject,
    throttle,
    same_key,
    debounce,
    keep_last,
    keep_last_while_one_runs,
    kill_producer,
)


def draw_act(rng: Random) -> Act:
    """Draw one."""
    return rng.choice(ACTS)
