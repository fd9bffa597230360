"""The operations of the API on tasks."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from headway.emulator import headers
from headway.emulator.errors import ApiError, Code, refuse
from headway.emulator.messages import duration_ms, read_request, read_retry, task_message, timestamp_us
from headway.emulator.model import HttpRequest, Task, TaskSpec, TaskState
from headway.emulator.names import check_task, queue_of
from headway.emulator.paging import page
from headway.emulator.queues import existing_queue
from headway.emulator.target import METHODS_WITH_BODY
from headway.emulator.urls import fault_of
from headway.emulator.wire import Empty, ListTasksResponse

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.emulator.dispatch import Dispatcher
    from headway.emulator.model import Limits
    from headway.emulator.store import Store
    from headway.emulator.wire import Message

_LARGEST_PAGE: Final = 1000

_NO_APP_ENGINE: Final = "App Engine targets are not supported by this emulator: use Task.http_request."
_RECENT: Final = (
    "The task cannot be created because a task with this name existed too recently. For more information about task "
    "de-duplication see "
    "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create"
    "#body.request_body.FIELDS.task."
)
_ENDED: Final = (
    "The task no longer exists, though a task with this name existed recently. "
    "The task either successfully completed or was deleted."
)


class Tasks:
    """Creates, runs, deletes and lists tasks."""

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock, limits: Limits) -> None:
        """The dispatcher is told of each change."""
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._limits = limits

    async def list_tasks(self, request: Message) -> Message:
        """List the tasks of a queue, by name."""
        queue = existing_queue(self._store, request.parent)
        found, token = page(
            self._store.tasks(queue.name), request.page_size, request.page_token, _LARGEST_PAGE
        )
        return ListTasksResponse(
            tasks=[task_message(task, request.response_view) for task in found], next_page_token=token
        )

    async def get_task(self, request: Message) -> Message:
        """Return a task that has not ended."""
        return task_message(self._existing(request.name), request.response_view)

    async def create_task(self, request: Message) -> Message:
        """Accept a task."""
        task = self.accept(request)
        await self._store.journal.commit()
        self.accepted(task)
        return task_message(task, request.response_view)

    async def delete_task(self, request: Message) -> Message:
        """Delete a task, also one that is under way: whatever its target answers then changes nothing."""
        self.discard(request.name)
        await self._store.journal.commit()
        return Empty()

    async def run_task(self, request: Message) -> Message:
        """Dispatch a task now. What is returned shows it dispatched, not answered."""
        return task_message(self._dispatcher.run_now(self._existing(request.name)), request.response_view)

    def accept(self, request: Message, *, buffered: bool = False) -> Task:
        """Keep a new task, which is not yet durable: the caller commits, and then calls `accepted`.

        `buffered`: it has no URL of its own, and gets its queue's when it is sent.
        """
        queue = existing_queue(self._store, request.parent)
        task = self._read(queue.name, request.task, buffered=buffered)
        if self._store.task(task.name) is not None:
            raise ApiError(Code.ALREADY_EXISTS, "Requested entity already exists")
        if task.spec.named and self._store.task_is_gone(task.name):
            raise ApiError(Code.ALREADY_EXISTS, _RECENT)
        self._store.add_task(task)
        return task

    def accepted(self, task: Task) -> None:
        """Let a durable task be dispatched, unless it was deleted meanwhile."""
        current = self._store.task(task.name)
        if current is not None and current.state.dispatches == 0:
            self._dispatcher.added(current)

    def discard(self, name: str) -> None:
        """Delete a task; the caller commits."""
        task = self._existing(name)
        self._dispatcher.removed(task)
        self._store.drop_task(task)

    def _existing(self, name: str) -> Task:
        existing_queue(self._store, queue_of(check_task(name)))
        task = self._store.task(name)
        if task is None:
            gone = self._store.task_is_gone(name)
            raise ApiError(Code.NOT_FOUND, _ENDED if gone else "Requested entity was not found.")
        return task

    def _read(self, queue: str, message: Message, *, buffered: bool) -> Task:
        if message.HasField("app_engine_http_request"):
            refuse(_NO_APP_ENGINE)
        if not message.HasField("http_request"):
            refuse("Task.http_request is required.")
        if message.ByteSize() > self._limits.task_bytes:
            refuse(f"Task size too large: at most {self._limits.task_bytes} bytes.")
        now_ms = self._clock.now_ms()
        spec = TaskSpec(
            name=self._name(queue, message.name),
            request=self._checked(read_request(message.http_request), buffered=buffered),
            created_ms=now_ms,
            deadline_ms=self._deadline_ms(message),
            named=bool(message.name),
            retry=read_retry(message.retry_config) if message.HasField("retry_config") else None,
        )
        return Task(spec, TaskState(self._schedule_us(message, now_ms)))

    @staticmethod
    def _name(queue: str, wanted: str) -> str:
        if not wanted:
            return f"{queue}/tasks/{secrets.randbits(63)}"
        if queue_of(check_task(wanted)) != queue:
            refuse(f'The task name "{wanted}" must begin with the parent "{queue}".')
        return wanted

    def _checked(self, request: HttpRequest, *, buffered: bool) -> HttpRequest:
        if not buffered and (fault := fault_of(request.url)):
            refuse(f"Invalid url for HttpRequest.url: {fault}.")
        if len(request.url) > self._limits.url_chars:
            refuse(f"HttpRequest.url must have at most {self._limits.url_chars} characters.")
        if request.body and request.method not in METHODS_WITH_BODY:
            refuse(
                f"HTTP request body is not allowed with the method {request.method}: use POST, PUT or PATCH."
            )
        headers.check(request.headers.items(), "HttpRequest.headers", most_bytes=self._limits.header_bytes)
        return request

    def _deadline_ms(self, message: Message) -> int:
        if not message.HasField("dispatch_deadline"):
            return self._limits.default_deadline_ms
        found = duration_ms(message.dispatch_deadline, "Task.dispatch_deadline")
        shortest, longest = self._limits.min_deadline_ms, self._limits.max_deadline_ms
        if not shortest <= found <= longest:
            refuse(f"Task.dispatch_deadline must be between [{shortest // 1000}s, {longest // 1000}s].")
        return found

    def _schedule_us(self, message: Message, now_ms: int) -> int:
        if not message.HasField("schedule_time"):
            return now_ms * 1000
        wanted = timestamp_us(message.schedule_time, "Task.schedule_time")
        if wanted > (now_ms + self._limits.horizon_ms) * 1000:
            hours = self._limits.horizon_ms // 3_600_000
            refuse(f"Task.schedule_time must be within {hours}h of the present.")
        return max(wanted, now_ms * 1000)
