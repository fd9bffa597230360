"""Operations for a thread of SQLite; the answer goes back to an event loop, or to a waiting thread."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, assert_never

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class _Work(Generic[T]):
    """An operation and its answer."""

    def __init__(self, operation: Callable[[Any], T]) -> None:
        self.operation = operation
        self.result: T | None = None
        self.error: BaseException | None = None


class LoopWork(_Work[T]):
    """An operation whose answer goes to a future of the present event loop."""

    def __init__(self, operation: Callable[[Any], T]) -> None:
        """Take the operation."""
        super().__init__(operation)
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def wanted(self) -> bool:
        """Whether the future was not cancelled."""
        return not self.future.cancelled()

    def answer(self) -> None:
        """Set the result, on the loop's thread; the caller may have gone."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # set whenever there is no error


class ThreadWork(_Work[T]):
    """An operation whose answer goes to a thread that waits for it."""

    wanted = True

    def __init__(self, operation: Callable[[Any], T]) -> None:
        """Take the operation."""
        super().__init__(operation)
        self._done = threading.Lock()
        self._done.acquire()

    def answer(self) -> None:
        """Set the result; from any thread."""
        self._done.release()

    def wait(self) -> T:
        """Wait for the answer, or raise it."""
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # set whenever there is no error


AnyWork = LoopWork[Any] | ThreadWork[Any]


def deliver(batch: Sequence[AnyWork]) -> None:
    """Answer all of them; those of the loop in one turn of it."""
    of_loop: list[LoopWork[Any]] = []
    for work in batch:
        match work:
            case LoopWork():
                of_loop.append(work)
            case ThreadWork():
                work.answer()
            case _:
                assert_never(work)
    if of_loop:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            of_loop[0].future.get_loop().call_soon_threadsafe(_answer_all, of_loop)


def _answer_all(batch: list[LoopWork[Any]]) -> None:
    for work in batch:
        work.answer()
