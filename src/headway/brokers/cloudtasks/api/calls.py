"""The way to the API: one client, made at the first call, and each call repeated while what fails may pass."""

from __future__ import annotations

import asyncio
import random
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeVar

from headway.brokers.cloudtasks.api import errors
from headway.brokers.cloudtasks.api.errors import broker_error, failure_of
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.brokers.cloudtasks.api.client import Api
    from headway.brokers.cloudtasks.api.errors import Act, Failure
    from headway.brokers.cloudtasks.api.resources import RemoteQueue, RemoteTask, TaskSpec
    from headway.brokers.cloudtasks.location import Location
    from headway.errors import BrokerError

    Connect = Callable[[Location], Awaitable[Api]]
    T = TypeVar("T")

PATIENCE_S: Final = 10.0  # with what fails and may pass
PARALLEL: Final = 64  # calls under way at once; a channel carries a hundred
_FIRST_S: Final = 0.05
_LONGEST_S: Final = 2.0
_TRIES: Final = 3  # to create a queue that somebody else deletes


class Calls:
    """Calls of the Cloud Tasks API. Each raises BrokerUnavailableError or BrokerRefusedError."""

    def __init__(
        self,
        location: Location,
        *,
        service_account: str = "",
        connect: Connect | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Nothing is connected yet. `connect` makes the client, the official one by default."""
        self.location = location
        self._service_account = service_account
        self._connect = connect or _official
        self._patience_s = patience_s
        self._api: Api | None = None
        self._switch = asyncio.Lock()
        self._slots = asyncio.Semaphore(PARALLEL)

    async def close(self) -> None:
        """Close the client, if there is one; the next call makes another."""
        async with self._switch:
            api, self._api = self._api, None
            if api is not None:
                await api.close()

    async def create_task(self, queue_id: str, spec: TaskSpec) -> bool:
        """Create a named task; false when there is one of that name, or was. Creates a missing queue if it may."""
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                await self._repeat(lambda api: api.create_task(queue_id, spec))
            except _FailedError as error:
                if error.failure.status == "ALREADY_EXISTS":
                    return False
                if error.failure.status != "NOT_FOUND" or not self.location.create_queues or last:
                    raise self._told(error.failure, errors.CREATE_TASK, queue_id) from error.__cause__
            else:
                return True
            await self.create_queue(queue_id)
        return False  # never reached: the last try returns or raises

    async def get_task(self, queue_id: str, task_id: str) -> RemoteTask | None:
        """Return a task with its body; None when there is no such task or queue."""
        return await self._call(
            errors.GET_TASK, lambda api: api.get_task(queue_id, task_id), queue_id, absent=None
        )

    async def list_tasks(
        self, queue_id: str, *, full: bool, size: int, token: str = ""
    ) -> tuple[list[RemoteTask], str]:
        """Return one page of a queue's tasks and the token of the next; nothing when there is no such queue."""
        nothing: tuple[list[RemoteTask], str] = ([], "")
        return await self._call(
            errors.LIST_TASKS,
            lambda api: api.list_tasks(queue_id, full=full, size=size, token=token),
            queue_id,
            absent=nothing,
        )

    async def delete_task(self, queue_id: str, task_id: str) -> None:
        """Delete a task; nothing happens when there is none."""
        await self._call(
            errors.DELETE_TASK, lambda api: api.delete_task(queue_id, task_id), queue_id, absent=None
        )

    async def run_task(self, queue_id: str, task_id: str) -> None:
        """Dispatch a task now; nothing happens when there is none."""
        await self._call(errors.RUN_TASK, lambda api: api.run_task(queue_id, task_id), queue_id, absent=None)

    async def list_queues(self) -> list[RemoteQueue]:
        """Return all queues of the location, those of other apps too."""
        nothing: list[RemoteQueue] = []
        return await self._call(errors.LIST_QUEUES, lambda api: api.list_queues(), absent=nothing)

    async def create_queue(self, queue_id: str) -> None:
        """Create a queue; nothing happens when it is there."""
        try:
            await self._repeat(lambda api: api.create_queue(queue_id))
        except _FailedError as error:
            if error.failure.status != "ALREADY_EXISTS":
                raise self._told(error.failure, errors.CREATE_QUEUE, queue_id) from error.__cause__

    async def pause_queue(self, queue_id: str) -> bool:
        """Pause a queue; false when there is none."""
        return await self._call(
            errors.PAUSE_QUEUE, lambda api: _done(api.pause_queue(queue_id)), queue_id, absent=False
        )

    async def resume_queue(self, queue_id: str) -> bool:
        """Resume a queue; false when there is none."""
        return await self._call(
            errors.RESUME_QUEUE, lambda api: _done(api.resume_queue(queue_id)), queue_id, absent=False
        )

    async def _call(
        self, act: Act, operation: Callable[[Api], Awaitable[T]], queue_id: str = "", *, absent: T
    ) -> T:
        try:
            return await self._repeat(operation)
        except _FailedError as error:
            if error.failure.status == "NOT_FOUND":
                return absent
            raise self._told(error.failure, act, queue_id) from error.__cause__

    async def _repeat(self, operation: Callable[[Api], Awaitable[T]]) -> T:
        """Make the call until it works, is refused, or patience ends."""
        loop = asyncio.get_running_loop()
        wait = _FIRST_S
        async with self._slots:
            until = (
                loop.time() + self._patience_s
            )  # of this call: that of waiting for a place is not its fault
            while True:
                api = self._api or await self._connected()
                try:
                    return await operation(api)
                except asyncio.CancelledError:
                    raise
                except Exception as error:
                    failure = failure_of(error)
                    if failure is None:
                        raise
                    # Full jitter: many producers that failed together do not come back together.
                    pause = wait * random.random()  # noqa: S311 - no secret
                    if not failure.transient or loop.time() + pause >= until:
                        raise _FailedError(failure) from error
                await asyncio.sleep(pause)
                wait = min(wait * 2, _LONGEST_S)

    async def _connected(self) -> Api:
        async with self._switch:
            if self._api is None:
                self._api = await self._connect(self.location)
            return self._api

    def _told(self, failure: Failure, act: Act, queue_id: str) -> BrokerError:
        return broker_error(
            failure,
            act,
            place=self.location.name,
            queue=queue_id,
            service_account=self._service_account,
        )


class _FailedError(Exception):
    """A call that was refused, or that patience ended for."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def _done(call: Awaitable[None]) -> bool:
    await call
    return True


async def _official(location: Location) -> Api:
    try:
        # In a thread: the import takes a third of a second, and the loop has other things to do.
        module = await asyncio.to_thread(import_module, "headway.brokers.cloudtasks.api.client")
    except ImportError as error:
        msg = "the carrier cloudtasks needs Google's client: pip install 'headway[gcp]'"
        raise ConfigError(msg) from error
    connect: Connect = module.connect
    return await connect(location)
