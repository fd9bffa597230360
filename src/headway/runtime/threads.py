"""Handlers in threads, each of which can be interrupted softly."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from headway.runtime.current import current_run
from headway.runtime.forks import end_fork, generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.runtime.run import JobRun


class Interrupted(BaseException):
    """Raised inside a handler's thread when its job is stopped; not an Exception, so that handlers let it through."""


class Ended(NamedTuple):
    """How a function in a thread ended: with a value, or with an error.

    An error is carried as data. A future refuses StopIteration, and takes CancelledError and SystemExit for its own.
    """

    value: Any = None
    error: BaseException | None = None


class Threads:
    """A pool of threads for handlers.

    A thread ends a job when its function returns: Python cannot end it from outside.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="headway-job")

    async def run(self, run: JobRun, function: Callable[[], Any]) -> Ended:
        """Run the function in a thread; it ends with Interrupted when the run was stopped and it obeyed."""
        guarded = _Guarded(function)
        context = current_run.context()
        future = asyncio.get_running_loop().run_in_executor(self._pool, context.run, guarded)
        run.on_interrupt(guarded.interrupt)
        try:
            # Shielded: cancelling the waiting must not look as if the thread had ended.
            return await asyncio.shield(future)
        finally:
            run.on_interrupt(None)

    def close(self) -> None:
        """Start no more functions; running ones end with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Guarded:
    """A function that can be interrupted while it runs, and only then: never the thread's next job."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._thread = 0
        self._asked = threading.Event()
        self._born = generation.number

    def __call__(self) -> Ended:
        try:
            ended = self._call()
        except BaseException as error:  # noqa: BLE001 - an interruption that came at the last moment
            ended = Ended(error=error)
        end_fork(self._born)
        return ended

    def _call(self) -> Ended:
        with self._lock:
            if self._asked.is_set():
                raise Interrupted
            self._thread = threading.get_ident()
        try:
            return Ended(self._function())
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its job's outcome
            return Ended(error=error)
        finally:
            with self._lock:
                thread, self._thread = self._thread, 0
                if self._asked.is_set():
                    # Not delivered yet, perhaps: take it back before it hits whatever runs here next.
                    _raise_in(thread, None)

    def interrupt(self) -> None:
        with self._lock:
            if not self._asked.is_set():
                self._asked.set()
                if self._thread:
                    _raise_in(self._thread, Interrupted)


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Ask the interpreter to raise in another thread at its next bytecode; None takes the request back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(kind) if kind else None
    )
