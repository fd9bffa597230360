"""The way from blocking code to the async core: a thread with an event loop, shared by an app's sync twins."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, ParamSpec, Protocol, TypeVar

from headway.errors import HeadwayError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


class Caller(Protocol):
    """Calls an async function from blocking code."""

    def __call__(
        self, function: Callable[P, Coroutine[object, object, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run it on the portal's loop and return what it returned."""
        ...


_START_SECONDS: Final = 30.0


class Portal:
    """Runs coroutines for blocking callers on the app's loop if it has one, else on a thread of its own.

    The thread is started at the first call and again after a fork; `opening` and `closing` run on its loop.
    """

    def __init__(
        self, opening: Callable[[], Awaitable[object]], closing: Callable[[], Awaitable[object]]
    ) -> None:
        self._opening = opening
        self._closing = closing
        self._lock = threading.Lock()
        self._own: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._host: asyncio.AbstractEventLoop | None = None
        self._host_thread = 0
        self._host_pid = 0
        self._serves_all = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this running loop, on which the app is open, instead of an own thread: no second set of connections."""
        self._host = loop
        self._host_thread = threading.get_ident()
        self._host_pid = os.getpid()

    def detach(self) -> None:
        """Forget the loop given to `attach`."""
        self._host = None

    def call(
        self, function: Callable[P, Coroutine[object, object, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run the async function and wait for it.

        HeadwayError when called on the loop that it would have to wait for.
        """
        loop = self._host_loop() or self._own_loop()
        if threading.get_ident() == (self._host_thread if loop is self._host else self._thread_id()):
            name = getattr(function, "__qualname__", function)
            msg = f"{name}: the blocking twin was called on the event loop; await the async one"
            raise HeadwayError(msg)
        return _Visit(loop, function(*args, **kwargs)).wait()

    def serve_all(self) -> None:
        """Open the app on the own thread, when it is first asked for, also for loops on which it was not opened."""
        self._serves_all = True

    def loop_for_others(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop that code on a loop of its own, on which the app is not open, may use; None: it may not."""
        loop = self._host_loop()
        return self._own_loop() if loop is None and self._serves_all else loop

    def loop_elsewhere(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop that a call would run on, if it runs already, in another thread of this process."""
        loop = self._host_loop()
        if loop is not None:
            return None if threading.get_ident() == self._host_thread else loop
        own, thread = self._own, self._thread
        if own is None or thread is None or self._pid != os.getpid() or threading.get_ident() == thread.ident:
            return None
        return own

    def close(self) -> None:
        """Close what was opened and end the thread; does nothing when it was never started."""
        with self._lock:
            loop, thread = self._own, self._thread
            self._own = self._thread = None
        if loop is not None and thread is not None and self._pid == os.getpid() and thread.is_alive():
            import asyncio  # noqa: PLC0415 - as above

            asyncio.run_coroutine_threadsafe(_run(self._closing), loop).result(_START_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_START_SECONDS)

    def _host_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the attached loop while it runs: in a forked process it seems to, but its thread stayed behind."""
        if self._host is None or self._host_pid != os.getpid() or not self._host.is_running():
            return None
        return self._host

    def _close_at_exit(self) -> None:
        """Close as far as the interpreter, on its way out, still lets it; nothing accepted depends on it."""
        with suppress(Exception):
            self.close()

    def _thread_id(self) -> int | None:
        return self._thread.ident if self._thread is not None else None

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio  # noqa: PLC0415 - costs 30 ms that `import headway` need not pay
        import atexit  # noqa: PLC0415 - as above

        from headway.app.loops import new_loop  # noqa: PLC0415 - as above

        with self._lock:
            if self._own is not None and self._pid == os.getpid():
                return self._own
            _refuse_green_threads()
            loop = new_loop()
            thread = threading.Thread(target=_serve, args=(loop,), name="headway-portal", daemon=True)
            thread.start()
            try:
                asyncio.run_coroutine_threadsafe(_run(self._opening), loop).result(_START_SECONDS)
            except BaseException:
                loop.call_soon_threadsafe(loop.stop)
                raise
            self._own, self._thread, self._pid = loop, thread, os.getpid()
            atexit.register(self._close_at_exit)
            return loop


class _Visit(Generic[T]):
    """One coroutine of a blocking caller on the loop: half the cost of `run_coroutine_threadsafe`."""

    __slots__ = ("_coroutine", "_done", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[object, object, T]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._done = threading.Lock()
        self._task: asyncio.Task[T] | None = None

    def wait(self) -> T:
        self._done.acquire()  # held until the task is done
        self._loop.call_soon_threadsafe(self._start)
        try:
            self._done.acquire()
        except BaseException:  # Ctrl-C in the caller's thread
            self._loop.call_soon_threadsafe(self._cancel)
            raise
        if self._task is None:  # pragma: no cover - it is there before the lock is released
            msg = "the portal's loop has ended"
            raise HeadwayError(msg)
        return self._task.result()

    def _start(self) -> None:
        self._task = self._loop.create_task(self._coroutine)
        self._task.add_done_callback(lambda _: self._done.release())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _refuse_green_threads() -> None:
    """Refuse greenlets in place of threads: an event loop in one would never let its callers go on."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and any(map(gevent.is_module_patched, ("threading", "queue"))):
        name, instead = "gevent", "gevent.monkey.patch_all(thread=False, queue=False)"
    elif eventlet is not None and eventlet.is_monkey_patched("thread"):
        name, instead = "eventlet", "eventlet.monkey_patch(thread=False)"
    else:
        return
    msg = (
        f"blocking calls need real threads, and {name} has put greenlets in their place: serve with threads "
        f"(gunicorn -k gthread), or patch with {instead}"
    )
    raise HeadwayError(msg)


async def _run(function: Callable[[], Awaitable[object]]) -> None:
    await function()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()
