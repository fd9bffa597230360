"""Wait for jobs to finish: the server publishes their ends. Nothing polls, and thousands of waits share calls."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from headway.brokers.redis import inspect
from headway.brokers.redis.keys import process_channel
from headway.brokers.redis.wire.subscriptions import Subscription
from headway.errors import BrokerError, BrokerUnavailableError
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.subscriptions import Listener
    from headway.job import JobRecord

_BATCH: Final = 1000
_AGAIN: Final = 1.0  # seconds before registering is tried again after a cut


class Waits:
    """The jobs that this process waits for."""

    def __init__(self, session: Session, listener: Listener) -> None:
        """Nothing is awaited yet. The token names this process in hash `waiters` on the server."""
        self._session = session
        self._listener = listener
        self._token = secrets.token_hex(6)
        self._waiting: dict[JobId, set[asyncio.Future[None]]] = {}
        self._fresh: list[JobId] = []
        self._wanted: dict[JobId, asyncio.Future[JobRecord | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None

    async def wait(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Return the record once the job has ended, or as it is after `timeout_ms`; None when there is no such job."""
        await self._listen()
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(finished)
        if not self._fresh:
            self._spawn_soon(self._register_fresh)
        self._fresh.append(job_id)
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                await finished
        except TimeoutError:
            pass
        finally:
            others = self._waiting.get(job_id)
            if others is not None:
                others.discard(finished)
                if not others:
                    del self._waiting[job_id]
        return await self._record(job_id)

    async def close(self) -> None:
        """Fail all waits."""
        tasks = [*self._tasks, *([self._listening] if self._listening is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening = self._subscription = None
        self._fail(
            tuple(self._waiting), BrokerUnavailableError("the broker was closed while a job was awaited")
        )

    async def _listen(self) -> None:
        if self._subscription is not None and self._subscription.confirmed.done():
            return
        if self._listening is None:
            self._subscription = Subscription(self._on_message, self._on_restored)
            channel = process_channel(self._session.prefix, self._token)
            self._listening = asyncio.create_task(self._listener.subscribe(channel, self._subscription))
        listening = self._listening
        try:
            await asyncio.shield(listening)
        except BrokerError:
            self._listening = self._subscription = None
            raise

    def _spawn_soon(self, what: Callable[[], Coroutine[None, None, None]]) -> None:
        task = asyncio.create_task(what())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_message(self, content: bytes) -> None:
        self._resolve(JobId(one.decode(errors="replace")) for one in content.split())

    def _resolve(self, ids: Iterable[JobId]) -> None:
        for job_id in ids:
            for finished in self._waiting.get(job_id, ()):
                if not finished.done():
                    finished.set_result(None)

    def _fail(self, ids: Iterable[JobId], error: BrokerError) -> None:
        for job_id in ids:
            for finished in self._waiting.get(job_id, ()):
                if not finished.done():
                    finished.set_exception(error)

    def _on_restored(self) -> None:
        self._spawn_soon(self._register_all)

    async def _register_all(self) -> None:
        while True:
            try:
                await self._register(list(self._waiting))
            except BrokerError:
                await asyncio.sleep(_AGAIN)
            else:
                return

    async def _register_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        try:
            await self._register(list(dict.fromkeys(fresh)))
        except BrokerError as error:
            self._fail(fresh, error)

    async def _register(self, ids: list[JobId]) -> None:
        for first in range(0, len(ids), _BATCH):
            some = ids[first : first + _BATCH]
            over = await self._session.run("wait", self._token, *some)
            self._resolve(job_id for job_id, one in zip(some, over, strict=True) if one)

    async def _record(self, job_id: JobId) -> JobRecord | None:
        """Return a record; those asked for in one turn of the loop are fetched together."""
        if not self._wanted:
            self._spawn_soon(self._fetch)
        wanted = self._wanted.get(job_id)
        if wanted is None:
            wanted = self._wanted[job_id] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(wanted)

    async def _fetch(self) -> None:
        wanted, self._wanted = self._wanted, {}
        try:
            records = await inspect.get(self._session, list(wanted))
        except BaseException as error:
            failure = (
                error if isinstance(error, BrokerError) else BrokerUnavailableError("the broker was closed")
            )
            for future in wanted.values():
                if not future.done():
                    future.set_exception(failure)
                    future.exception()  # marks it as seen: asyncio logs nothing if its caller has gone
            if not isinstance(error, BrokerError):
                raise
        else:
            for future, one in zip(wanted.values(), records, strict=True):
                if not future.done():
                    future.set_result(one)
