"""Many tasks in one call. The service answers with a long-running operation; here it is done when it is returned."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

from headway.emulator.errors import ApiError, Code, refuse
from headway.emulator.messages import task_message
from headway.emulator.names import check_queue, location_of, queue_of
from headway.emulator.queues import existing_queue
from headway.emulator.wire import (
    BatchCreateTasksMetadata,
    BatchCreateTasksResponse,
    BatchDeleteTasksMetadata,
    Operation,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headway.clock import Clock
    from headway.emulator.model import Limits, Task
    from headway.emulator.store import Store
    from headway.emulator.tasks import Tasks
    from headway.emulator.wire import Message

_KEPT: Final = 1000
_NONE_DONE: Final = "None of the requests succeeded, refer to {}.failed_requests for individual error details"


class Batches:
    """Creates and deletes many tasks; remembers the last operations, so that a repeated request id is one operation."""

    def __init__(self, store: Store, tasks: Tasks, clock: Clock, limits: Limits) -> None:
        """`tasks` does the work of each."""
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._limits = limits
        self._operations: dict[str, Message] = {}
        self._under_way: dict[str, asyncio.Task[Message]] = {}

    async def batch_create_tasks(self, request: Message) -> Message:
        """Accept as many of the tasks as can be; the metadata says why others were not."""
        queue = existing_queue(self._store, request.parent).name
        if len(request.requests) > self._limits.batch_create:
            refuse(f"BatchCreateTasksRequest.requests must have at most {self._limits.batch_create} entries.")
        if any(single.parent and single.parent != queue for single in request.requests):
            refuse("CreateTaskRequest.parent must be that of the batch.")
        name = self._name(queue, request.request_id)
        return await self._once(name, lambda: self._create(name, queue, request))

    async def _create(self, name: str, queue: str, request: Message) -> Message:
        metadata = BatchCreateTasksMetadata()
        metadata.start_time.FromMilliseconds(self._clock.now_ms())
        accepted: list[tuple[Task, int]] = []
        for index, single in enumerate(request.requests):
            single.parent = queue
            try:
                accepted.append((self._tasks.accept(single), single.response_view))
            except ApiError as error:
                metadata.failed_requests[index].CopyFrom(status_message(error))
        await self._store.journal.commit()
        response = BatchCreateTasksResponse()
        for task, view in accepted:
            self._tasks.accepted(task)
            response.tasks.append(task_message(task, view))
        failed = len(metadata.failed_requests)
        metadata.state = _state(BatchCreateTasksMetadata, failed, len(request.requests))
        return self._done(name, metadata, response, whole_failure=failed == len(request.requests) > 0)

    async def batch_delete_tasks(self, request: Message) -> Message:
        """Delete as many of the tasks as there are; the metadata names the others."""
        queue = existing_queue(self._store, request.parent).name
        if len(request.names) > self._limits.batch_delete:
            refuse(f"BatchDeleteTasksRequest.names must have at most {self._limits.batch_delete} entries.")
        name = self._name(queue, request.request_id)
        return await self._once(name, lambda: self._delete(name, queue, request))

    async def _delete(self, name: str, queue: str, request: Message) -> Message:
        metadata = BatchDeleteTasksMetadata()
        metadata.start_time.FromMilliseconds(self._clock.now_ms())
        for index, task in enumerate(request.names):
            try:
                if queue_of(task) != queue:
                    refuse(f'The task name "{task}" must begin with the parent "{queue}".')
                self._tasks.discard(task)
            except ApiError as error:
                metadata.failed_requests[index].CopyFrom(status_message(error))
        await self._store.journal.commit()
        failed = len(metadata.failed_requests)
        metadata.state = _state(BatchDeleteTasksMetadata, failed, len(request.names))
        return self._done(name, metadata, None, whole_failure=failed == len(request.names) > 0)

    async def get_operation(self, request: Message) -> Message:
        """Return an operation; the last thousand are known."""
        found = self._operations.get(request.name)
        if found is None:
            raise ApiError(Code.NOT_FOUND, "Requested entity was not found.")
        return found

    async def _once(self, name: str, work: Callable[[], Coroutine[None, None, Message]]) -> Message:
        """Do the work of an operation, unless it was done or is under way: a repeated call waits for the first."""
        if (known := self._operations.get(name)) is not None:
            return known
        running = self._under_way.get(name)
        if running is None:
            running = self._under_way[name] = asyncio.get_running_loop().create_task(work())
            running.add_done_callback(lambda _: self._under_way.pop(name, None))
        return await asyncio.shield(running)

    @staticmethod
    def _name(queue: str, request_id: str) -> str:
        return f"{location_of(check_queue(queue))}/operations/{request_id or uuid.uuid4()}"

    def _done(
        self, name: str, metadata: Message, response: Message | None, *, whole_failure: bool
    ) -> Message:
        metadata.end_time.FromMilliseconds(self._clock.now_ms())
        operation = Operation(name=name, done=True)
        operation.metadata.Pack(metadata)
        if whole_failure:
            operation.error.code = Code.ABORTED
            operation.error.message = _NONE_DONE.format(metadata.DESCRIPTOR.name)
        elif response is not None:
            operation.response.Pack(response)
        else:
            operation.response.type_url = "type.googleapis.com/google.protobuf.Empty"
        self._operations[name] = operation
        if len(self._operations) > _KEPT:
            del self._operations[next(iter(self._operations))]
        return operation


def status_message(error: ApiError) -> Message:
    """Return an error as part of a message."""
    return Status(code=error.code, message=error.message)


def _state(metadata: Message, failed: int, requests: int) -> int:
    name = "SUCCEEDED" if not failed else "PARTIALLY_SUCCEEDED" if failed < requests else "FAILED"
    number: int = metadata.DESCRIPTOR.enum_types_by_name["State"].values_by_name[name].number
    return number
