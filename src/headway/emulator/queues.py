"""The operations of the API on queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.emulator.errors import ApiError, Code, refuse
from headway.emulator.masks import read_queue
from headway.emulator.messages import queue_message
from headway.emulator.model import Queue, QueueState
from headway.emulator.names import check_location, check_queue, location_of
from headway.emulator.paging import page
from headway.emulator.wire import Empty, ListQueuesResponse

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.emulator.dispatch import Dispatcher
    from headway.emulator.model import Limits
    from headway.emulator.store import Store
    from headway.emulator.wire import Message

_LARGEST_PAGE: Final = 9800
_NO_QUEUE: Final = (
    "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
)
_GONE: Final = "The queue cannot be created because a queue with this name existed too recently."


def existing_queue(store: Store, name: str) -> Queue:
    """Return the queue; NOT_FOUND when there is none."""
    queue = store.queue(check_queue(name))
    if queue is None:
        raise ApiError(Code.NOT_FOUND, _NO_QUEUE)
    return queue


class Queues:
    """Creates, changes and lists queues."""

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock, limits: Limits) -> None:
        """The dispatcher is told of each change."""
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._limits = limits

    async def list_queues(self, request: Message) -> Message:
        """List the queues of a location, by name."""
        parent = check_location(request.parent)
        wanted = _state_of_filter(request.filter)
        named = {
            queue.name: queue
            for queue in self._store.queues()
            if location_of(queue.name) == parent and wanted in {None, queue.state}
        }
        found, token = page(named, request.page_size, request.page_token, _LARGEST_PAGE)
        return ListQueuesResponse(queues=[queue_message(queue) for queue in found], next_page_token=token)

    async def get_queue(self, request: Message) -> Message:
        """Return a queue."""
        return queue_message(existing_queue(self._store, request.name))

    async def create_queue(self, request: Message) -> Message:
        """Make a queue."""
        parent = check_location(request.parent)
        name = check_queue(request.queue.name)
        if location_of(name) != parent:
            refuse(f'The queue name "{name}" must begin with the parent "{parent}".')
        if self._store.queue(name) is not None:
            raise ApiError(Code.ALREADY_EXISTS, "Queue already exists")
        return await self._make(self._checked(read_queue(request.queue)))

    async def update_queue(self, request: Message) -> Message:
        """Change a queue, or make it if there is none."""
        name = check_queue(request.queue.name)
        was = self._store.queue(name)
        mask = list(request.update_mask.paths)
        if was is None:
            return await self._make(self._checked(read_queue(request.queue, mask=mask)))
        return await self._keep(self._checked(read_queue(request.queue, was=was, mask=mask)))

    async def delete_queue(self, request: Message) -> Message:
        """Delete a queue with its tasks."""
        queue = self._store.queue(check_queue(request.name))
        if queue is None:
            raise ApiError(Code.NOT_FOUND, "Requested entity was not found.")
        self._dispatcher.queue_removed(queue.name)
        self._store.drop_queue(queue.name)
        await self._store.journal.commit()
        return Empty()

    async def purge_queue(self, request: Message) -> Message:
        """Delete all tasks of a queue."""
        queue = existing_queue(self._store, request.name)
        self._store.clear(queue.name)
        self._dispatcher.queue_purged(queue.name)
        return await self._keep(replace(queue, purged_ms=self._clock.now_ms()))

    async def pause_queue(self, request: Message) -> Message:
        """Stop dispatching."""
        return await self._keep(replace(existing_queue(self._store, request.name), state=QueueState.PAUSED))

    async def resume_queue(self, request: Message) -> Message:
        """Dispatch again."""
        return await self._keep(replace(existing_queue(self._store, request.name), state=QueueState.RUNNING))

    async def _make(self, queue: Queue) -> Message:
        if self._store.queue_is_gone(queue.name):
            raise ApiError(Code.FAILED_PRECONDITION, _GONE)
        return await self._keep(queue)

    async def _keep(self, queue: Queue) -> Message:
        self._store.put_queue(queue)
        self._dispatcher.queue_changed(queue)
        await self._store.journal.commit()
        return queue_message(queue)

    def _checked(self, queue: Queue) -> Queue:
        if not 0 < queue.rate.per_second <= self._limits.max_rate:
            refuse(
                f"RateLimits.max_dispatches_per_second must be greater than 0 and at most {self._limits.max_rate:g}."
            )
        if not 0 < queue.rate.concurrent <= self._limits.max_concurrent:
            refuse(
                f"RateLimits.max_concurrent_dispatches must be between 1 and {self._limits.max_concurrent}."
            )
        if queue.sampling_ratio is not None and not 0 <= queue.sampling_ratio <= 1:
            refuse("StackdriverLoggingConfig.sampling_ratio must be between 0 and 1.")
        return queue


def _state_of_filter(text: str) -> QueueState | None:
    """Read `state: PAUSED`, the one filter that is supported; INVALID_ARGUMENT for any other."""
    if not text.strip():
        return None
    field, _, value = text.replace("=", ":").partition(":")
    wanted = value.strip().strip('"')
    if field.strip() != "state" or wanted not in QueueState.__members__:
        refuse(f'Invalid filter "{text}": this emulator knows "state: RUNNING" and "state: PAUSED" only.')
    return QueueState[wanted]
