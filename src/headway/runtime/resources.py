"""The resources of one process: opened before its first job, closed behind its last one.

One task opens them one after the other, in the order of their declaration, waits, and closes them in the reverse order:
so what a resource enters (a task group, a cancel scope) it leaves in the same task. Plain generators run in one thread,
for the same reason, and so that what blocks in them does not hold the loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headway.app.lifespan import Resources
from headway.errors import DeclarationError
from headway.raised import in_one_line, trace_of
from headway.service import must_go_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.app.app import Headway
    from headway.app.lifespan import Resource

_log: Final = logging.getLogger("headway.resources")

CLOSE_SECONDS: Final = 5.0
"""For all resources of a process together to close, unless the process has less time left."""
THREAD_NAME: Final = "headway-resources"
_FIRST_PAUSE: Final = 0.1  # seconds after an opening that failed, doubled up to the longest
_LONGEST_PAUSE: Final = 5.0
_SLOW: Final = 10.0  # seconds of one opening after which the log says what the process waits for
_STUCK: Final = 0.5  # seconds behind the time to close, for a resource that takes no notice of its end
_ENDED: Final = object()


class _Open(NamedTuple):
    """A resource with its generator, which stands at its yield."""

    resource: Resource[Any]
    generator: Any


class Lifespan:
    """Opens and closes the resources of an app for one process."""

    def __init__(
        self,
        app: Headway,
        owner: str,
        *,
        given: Mapping[Resource[Any], object] | None = None,
        retried: bool = True,
    ) -> None:
        """`owner` begins each line in the log. `given`: values that stand in for resources, which stay closed.

        `retried`: what cannot be opened is tried again until it can; else `open` raises its error.
        """
        self.resources = Resources(app.name, app.resources)
        for resource, value in (given or {}).items():
            self.resources.check(resource)
            self.resources.put(resource, value)
        self._to_open = [one for one in app.resources.values() if one not in self.resources]
        self._owner = owner
        self._retried = retried
        self._pool: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving = False
        self._close_at = 0.0  # time.monotonic() by which all must be closed
        self._tried = asyncio.Event()  # all are open, or one has failed for the first time
        self._opened = asyncio.Event()  # all are open, or none will be opened any more
        self._end = asyncio.Event()
        self.is_open = not self._to_open

    async def open(self) -> bool:
        """Open all; false when `leave` or `close` was called meanwhile.

        DeclarationError when a resource is written wrongly: trying that again would not help.
        """
        self.start()
        if self._task is not None:
            await self._opened.wait()
            self._raise()
        return self.is_open

    async def try_to_open(self) -> None:
        """Return when all are open, or when the first attempt to open one has failed: it goes on from there."""
        self.start()
        if self._task is not None:
            await self._tried.wait()
            self._raise()

    def start(self) -> None:
        """Begin to open, unless there is nothing to open, or it has begun."""
        if self._task is None and not self.is_open and not self._leaving:
            self._tried.clear()
            self._opened.clear()
            self._task = asyncio.create_task(self._live(), name=f"{self._owner}: resources")

    def leave(self) -> None:
        """Open no more: the process goes before its first job. What is open stays so until `close`."""
        if not self.is_open:
            self._leaving = True
            if self._task is not None:
                self._task.cancel()
            self._opened.set()

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Close all that is open, the last one first; what does not end in time is given up and logged."""
        self.leave()
        self._leaving = True
        self._close_at = time.monotonic() + seconds
        self._end.set()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=seconds + _STUCK)
            if late:
                _log.error("%s: a resource does not end; the process goes without it", self._owner)
            elif not self._task.cancelled():
                self._task.exception()  # said before
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=False)
        self.is_open = False

    def _raise(self) -> None:
        """Raise what has ended the opening; a later `open` begins anew."""
        task = self._task
        if (
            task is not None
            and task.done()
            and not task.cancelled()
            and (error := task.exception()) is not None
        ):
            self._task = None
            raise error

    # --- in the task --------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        opened: list[_Open] = []
        try:
            for resource in self._to_open:
                opened.append(await self._open_one(resource))
                if self._leaving:  # a resource took no notice of its cancellation
                    return
            self.is_open = True
            self._announce()
            await self._end.wait()
        except DeclarationError as error:
            if self._tried.is_set():  # nobody waits for it any more
                _log.error("%s: %s", self._owner, error)
            raise
        finally:
            try:
                for one in reversed(opened):
                    self.resources.drop(one.resource)
                    await self._close_one(one)
            finally:
                self._announce()

    def _announce(self) -> None:
        self._tried.set()
        self._opened.set()

    async def _open_one(self, resource: Resource[Any]) -> _Open:
        failures = 0
        since = time.monotonic()
        while True:
            slow = asyncio.get_running_loop().call_later(_SLOW, self._say_slow, resource)
            try:
                opened = await self._enter(resource)
            except BaseException as error:
                if must_go_on(error) or issubclass(type(error), DeclarationError) or not self._retried:
                    raise
                failures += 1
                if failures == 1:
                    self._say_lost(resource, error)
                self._tried.set()
            else:
                if failures:
                    seconds = time.monotonic() - since
                    _log.warning("%s: resource %r is open, after %.1f s", self._owner, resource.name, seconds)
                return opened
            finally:
                slow.cancel()
            pause = min(_FIRST_PAUSE * 2 ** min(failures - 1, 16), _LONGEST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _enter(self, resource: Resource[Any]) -> _Open:
        generator = resource.fn(*([self.resources] if resource.takes_resources else []))
        value: object = await self._next(resource, generator)
        if value is _ENDED:
            msg = f"resource {resource.name!r} yielded nothing: it must yield once, what its users get"
            raise DeclarationError(msg)
        self.resources.put(resource, value)
        return _Open(resource, generator)

    async def _next(self, resource: Resource[Any], generator: Any) -> object:  # noqa: ANN401 - of either kind
        """Go on to the next yield, or to the end."""
        if resource.is_async:
            return await anext(generator, _ENDED)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)
        going = asyncio.get_running_loop().run_in_executor(self._pool, next, generator, _ENDED)
        try:
            return await going
        except asyncio.CancelledError:
            # The thread goes on; should it come to the yield all the same, what it opened is closed there.
            self._pool.submit(generator.close)
            raise

    async def _close_one(self, one: _Open) -> None:
        try:
            async with asyncio.timeout(self._seconds_to_close()):
                if await self._next(one.resource, one.generator) is not _ENDED:
                    self._say_twice(one.resource)
                    if one.resource.is_async:
                        await one.generator.aclose()
                    elif self._pool is not None:
                        await asyncio.get_running_loop().run_in_executor(self._pool, one.generator.close)
        except TimeoutError as error:
            _log.error(
                "%s: resource %r was not closed in time: %s",
                self._owner,
                one.resource.name,
                in_one_line(error),
            )
        except BaseException as error:
            if must_go_on(error) and not self._leaving:
                raise
            _log.error(
                "%s: resource %r could not be closed: %s\n%s",
                self._owner,
                one.resource.name,
                in_one_line(error),
                trace_of(error).rstrip(),
            )

    def _seconds_to_close(self) -> float:
        return max(0.0, self._close_at - time.monotonic()) if self._close_at else CLOSE_SECONDS

    # --- in the log ---------------------------------------------------------------------------------------------

    def _say_lost(self, resource: Resource[Any], error: BaseException) -> None:
        with suppress(BaseException):
            _log.error(
                "%s: resource %r cannot be opened, tried again until it can; no job is run before: %s\n%s",
                self._owner,
                resource.name,
                in_one_line(error),
                trace_of(error).rstrip(),
            )

    def _say_slow(self, resource: Resource[Any]) -> None:
        _log.warning(
            "%s: resource %r has been opening for %.0f s; no job is run before it is open",
            self._owner,
            resource.name,
            _SLOW,
        )

    def _say_twice(self, resource: Resource[Any]) -> None:
        _log.error(
            "%s: resource %r yielded a second time: it must yield once, what stands behind the yield closes it",
            self._owner,
            resource.name,
        )
