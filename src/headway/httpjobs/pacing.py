"""How many calls go to a host at once, and how many in a time: a slow target gets no more than it can take."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from headway.cache.base import Denied
from headway.cache.memory import MemoryLimiter
from headway.errors import RetryLater

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headway.app.interface import App
    from headway.cache.base import Limiter
    from headway.httpjobs.policy import HttpPolicy

_PATIENCE: Final = (
    2.0  # seconds for which a call waits in its place; a longer wait is spent outside the worker
)
_SPREAD: Final = 2.0


class Pacing:
    """The limits of hosts, in one worker process; rates over all processes where the app has a cache."""

    def __init__(self, policy: HttpPolicy) -> None:
        self._policy = policy
        self._busy: dict[str, _Places] = {}
        self._own: Limiter | None = None

    @asynccontextmanager
    async def place(self, host: str, app: App) -> AsyncGenerator[None]:
        """Wait for a place and for the rate; RetryLater, which uses up no attempt, when that takes longer."""
        limit = self._policy.limit_of(host)
        places = self._busy.setdefault(host, _Places(limit.concurrency))
        places.users += 1
        try:
            await _take(places, host)
            try:
                if limit.rate:
                    await self._keep_rate(host, limit.rate, app)
                yield
            finally:
                places.free.release()
        finally:
            places.users -= 1
            if not places.users:
                self._busy.pop(host, None)

    async def _keep_rate(self, host: str, rate: str, app: App) -> None:
        limiter = app.limiter if app.settings.cache else self._in_process(app)
        while isinstance(answer := await limiter.limit(f"http:{host}", rate), Denied):
            if answer.retry_after > _PATIENCE:
                raise RetryLater(answer.retry_after, f"the rate {rate} of host {host} is used up")
            await asyncio.sleep(answer.retry_after)

    def _in_process(self, app: App) -> Limiter:
        if self._own is None:
            self._own = MemoryLimiter(app.clock)
        return self._own


class _Places:
    """The places of a host, and how many calls use or want one."""

    def __init__(self, count: int) -> None:
        self.free = asyncio.Semaphore(count)
        self.users = 0


async def _take(places: _Places, host: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await places.free.acquire()
    except TimeoutError:
        wait = 1.0 + random.uniform(0, _SPREAD)  # noqa: S311 - spread, not a secret
        raise RetryLater(wait, f"all places of host {host} are taken in this worker") from None
