"""A carrier that is open on another event loop of this process, used from this one.

A handler may run a loop of its own (`asyncio.run` in a thread), or run in a process that nobody opened the app in. Its
calls go to the loop where the app is open, and their answers come back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Future

    from headway.brokers.base import Capabilities, Store

_STREAMS: Final = frozenset({"events", "signals"})


class CarrierElsewhere:
    """Passes every call on to the carrier, on its own loop."""

    def __init__(self, carrier: Store, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is the one that the carrier is open on."""
        self._carrier = carrier
        self._loop = loop

    @property
    def capabilities(self) -> Capabilities:
        """Those of the carrier, but for what is faster on its loop."""
        able = self._carrier.capabilities
        here = cast("Any", self)
        return replace(
            able.parts_of(here),
            push=able.push and here,
            keys=able.keys and here,
            mover=able.mover and here,
            control=able.control and here,
        )

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method of the carrier
        """Return the carrier's method, to be called from here."""
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._carrier, name)
        if name in _STREAMS:
            return self._stream(method)
        return self._call(method)

    def _call(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
            return await self._there(lambda: method(*args, **kwargs))

        return call

    def _stream(self, method: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - as the method
            async def begin() -> AsyncIterator[Any]:
                return method(*args, **kwargs)

            # Now, not at the first item: what happens counts from the call on.
            return self._passed_on(asyncio.run_coroutine_threadsafe(begin(), self._loop))

        return stream

    async def _passed_on(self, begun: Future[AsyncIterator[Any]]) -> AsyncIterator[Any]:
        items = await asyncio.wrap_future(begun)
        try:
            while True:
                try:
                    (item,) = await self._there(lambda: _next_of(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await self._there(close)

    async def _there(self, call: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - as the call
        async def run() -> Any:  # noqa: ANN401 - as the call
            return await call()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._loop))


async def _next_of(items: AsyncIterator[Any]) -> tuple[Any]:
    return (await anext(items),)
