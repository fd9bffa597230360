"""Calls that travel together: what is asked in one loop turn, or while enough calls are under way, becomes one call."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import Any

T = TypeVar("T")
A = TypeVar("A")

_Batch: TypeAlias = "list[tuple[T, asyncio.Future[A]]]"
_Begin: TypeAlias = "Callable[[Sequence[T]], asyncio.Future[list[A] | None] | None]"

_PROOF: Final = 8  # items that are refused one after the other
_ENOUGH: Final = 32  # items: a call of so many costs the carrier little more for each than a longer one


class Batcher(Generic[T, A]):
    """Collects items until the loop's next turn and hands them over in one call of at most `limit` items.

    It belongs to the loop on which it is made. At most `parallel` calls are under way; what comes meanwhile waits and
    leaves in bigger batches. So a lone item is never delayed, and a thousand concurrent ones cost a few calls.

    An item that the carrier refuses is refused alone: its batch is handed over again, in halves. Not when the carrier
    could not be reached: then nobody knows what was applied.

    With `begin`, which starts a call without awaiting anything, some items leave in the middle of the turn: then the
    carrier is at work on them while the rest is made. Where it returns None, or its future gives it, `call` is made.

    `answered` is told the items of each call that was answered, and the answers; it must not raise.
    """

    def __init__(
        self,
        call: Callable[[Sequence[T]], Coroutine[Any, Any, Sequence[A]]],
        *,
        begin: _Begin[T, A] | None = None,
        answered: Callable[[Sequence[T], Sequence[A]], None] | None = None,
        limit: int = 1000,
        parallel: int = 4,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._begin = begin
        self._answered = answered
        self._limit = limit
        self._parallel = parallel
        self._waiting: _Batch[T, A] = []
        self._calls: set[asyncio.Future[Any]] = set()
        self._direct = 0  # calls made by their callers themselves
        self._leaver: asyncio.Future[None] | None = None  # the call that was made and did not begin yet

    def add(self, item: T) -> asyncio.Future[A]:
        """Take the item; the future has its answer, or the error that the carrier has for it."""
        answer: asyncio.Future[A] = self._loop.create_future()
        self._waiting.append((item, answer))
        if self._leaver is None and len(self._calls) < self._parallel:
            # A task, not a callback that makes one: it begins at the next turn before all that arrives in between, so
            # that the carrier is at work on this batch while that is seen to.
            self._leaver = self._loop.create_task(self._leave())
            self._count(self._leaver)
        elif self._begin is not None and not len(self._waiting) % _ENOUGH:
            self._leave_now(self._begin)
        return answer

    def submit(self, item: T) -> Awaitable[A]:
        """Take the item; its answer must be awaited at once, for a lone item is sent by the task that awaits it."""
        if self._waiting or self._calls or self._direct:
            return self.add(item)
        return self._hand_over_alone(item)

    async def _hand_over_alone(self, item: T) -> A:
        self._direct += 1
        try:
            begun = self._begin([item]) if self._begin is not None else None
            answers: Sequence[A] | None = None if begun is None else await begun
            if answers is None:
                answers = await self._call([item])
            if self._answered is not None:
                self._answered([item], answers)
        finally:
            self._direct -= 1
            if self._waiting:
                self._flush()
        return answers[0]

    @property
    def idle(self) -> bool:
        """True when nothing waits and no call is under way."""
        return not self._waiting and not self._calls and not self._direct

    async def finish(self) -> None:
        """Wait until all that was added is answered."""
        while not self.idle:
            self._flush()
            if self._calls:
                await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.001)  # a call that its own caller makes

    def _leave_now(self, begin: _Begin[T, A]) -> None:
        if len(self._calls) >= self._parallel:
            return
        batch = self._waiting[: self._limit]
        try:
            call = begin([item for item, _ in batch])
        except Exception:  # noqa: BLE001 - the usual call will meet it, and tell those whose items these are
            return
        if call is not None:
            del self._waiting[: self._limit]
            self._calls.add(call)
            call.add_done_callback(partial(self._told, batch))

    def _told(self, batch: _Batch[T, A], call: asyncio.Future[list[A] | None]) -> None:
        self._calls.discard(call)
        if call.cancelled():
            _cancel(batch)
        elif (error := call.exception()) is not None:
            self._make(self._sort_out(batch, error))
        elif (answers := call.result()) is not None:
            self._answer(batch, answers)
        else:
            self._make(self._hand_over(batch))
        if self._waiting:
            self._flush()

    async def _leave(self) -> None:
        self._leaver = None
        batch = self._take()
        self._flush()
        if batch:
            await self._hand_over(batch)

    def _flush(self) -> None:
        while self._waiting and len(self._calls) < self._parallel:
            self._make(self._hand_over(self._take()))

    def _take(self) -> _Batch[T, A]:
        batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        return batch

    def _make(self, call: Coroutine[Any, Any, None]) -> None:
        self._count(self._loop.create_task(call))

    def _count(self, call: asyncio.Task[None]) -> None:
        self._calls.add(call)
        call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if call is self._leaver:  # cancelled before it began
            self._leaver = None
        if self._waiting:
            self._flush()

    async def _hand_over(self, batch: _Batch[T, A], refusals: _Refusals | None = None) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
        except asyncio.CancelledError:
            _cancel(batch)
            raise
        except Exception as error:  # noqa: BLE001 - every waiter gets it, or an answer
            await self._sort_out(batch, error, refusals)
        else:
            if refusals is not None:
                refusals.accepted = True
            self._answer(batch, answers)

    def _answer(self, batch: _Batch[T, A], answers: Sequence[A]) -> None:
        if self._answered is not None:
            self._answered([item for item, _ in batch], answers)
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _sort_out(
        self, batch: _Batch[T, A], error: BaseException, refusals: _Refusals | None = None
    ) -> None:
        """Hand over the halves of a batch that was refused, until what is wrong stands alone."""
        refusals = refusals or _Refusals()
        if len(batch) == 1:
            refusals.alone += 1
        if len(batch) == 1 or isinstance(error, BrokerUnavailableError) or refusals.by_the_carrier:
            _fail(batch, error)
            return
        middle = len(batch) // 2
        try:
            await self._hand_over(batch[:middle], refusals)
        except asyncio.CancelledError:
            _cancel(batch)
            raise
        await self._hand_over(batch[middle:], refusals)


class _Refusals:
    """The answers to a batch that was refused as a whole."""

    def __init__(self) -> None:
        self.alone = 0  # items that were refused when they came alone
        self.accepted = False

    @property
    def by_the_carrier(self) -> bool:
        """Whether no item at all is accepted, as with a full disk: then the fault is not theirs."""
        return self.alone >= _PROOF and not self.accepted


def _fail(batch: _Batch[T, A], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def _cancel(batch: _Batch[T, A]) -> None:
    for _, future in batch:
        future.cancel()
