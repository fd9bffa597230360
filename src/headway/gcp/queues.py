"""Cloud Tasks queues. They have no labels: ours are named as the app names them, and retried as Headway writes it.

A queue of that name which somebody else made becomes the app's when the app declares it and `apply` writes to it. One
that is not declared is shown, and left alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from google.cloud.tasks_v2.services.cloud_tasks import CloudTasksAsyncClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport
from google.cloud.tasks_v2.types import (
    CreateQueueRequest,
    DeleteQueueRequest,
    ListQueuesRequest,
    ListTasksRequest,
    PauseQueueRequest,
    Queue,
    RateLimits,
    ResumeQueueRequest,
    RetryConfig,
    UpdateQueueRequest,
)

from headway.brokers.cloudtasks.api.names import queue_of
from headway.gcp.access import TASKS
from headway.gcp.errors import ONCE, NotThereError, ask
from headway.gcp.messages import milliseconds
from headway.gcp.resources import CloudQueue, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.gcp.access import Access
    from headway.gcp.messages import Untyped
    from headway.gcp.place import Place

_MASK: Final = (
    "rate_limits.max_dispatches_per_second",
    "rate_limits.max_concurrent_dispatches",
    "retry_config.max_attempts",
    "retry_config.max_retry_duration",
    "retry_config.min_backoff",
    "retry_config.max_backoff",
    "retry_config.max_doublings",
)


class Queues:
    """Provider of CloudQueue."""

    def __init__(self, client: Untyped, place: Place, namespace: str) -> None:
        self._client = client
        self._place = place
        self._namespace = namespace

    @classmethod
    async def connect(cls, access: Access, place: Place, namespace: str) -> Queues:
        """Make the client."""
        transport = CloudTasksGrpcAsyncIOTransport(channel=await access.channel(TASKS))
        return cls(CloudTasksAsyncClient(transport=transport), place, namespace)

    async def read(self, wanted: Sequence[CloudQueue]) -> list[Seen]:
        """Look into those that nobody declares any more, whether jobs wait there."""
        declared = {queue.name for queue in wanted}
        found: list[Seen] = []
        for queue in await ask("list the Cloud Tasks queues", self._list):
            name = queue.name.rpartition("/")[2]
            if name in declared or queue_of(self._namespace, name) is not None:
                resource = _resource(name, queue)
                paused = queue.state == Queue.State.PAUSED
                foreign = not resource.is_marked
                busy = not foreign and name not in declared and await self._is_busy(name)
                found.append(Seen(resource, paused=paused, busy=busy, foreign=foreign))
        return found

    async def in_use(self, resource: CloudQueue) -> bool:
        """Look again whether jobs wait in it."""
        return await self._is_busy(resource.name)

    async def create(self, resource: CloudQueue) -> None:
        """Create."""
        request = CreateQueueRequest(parent=self._place.path, queue=self._message(resource))
        await ask(f"create queue {resource.name}", lambda: self._client.create_queue(request, **ONCE))

    async def update(self, resource: CloudQueue) -> None:
        """Change the limits; whether it is paused stays."""
        mask = {"paths": _MASK}
        request = UpdateQueueRequest(queue=self._message(resource), update_mask=mask)
        await ask(f"change queue {resource.name}", lambda: self._client.update_queue(request, **ONCE))

    async def delete(self, resource: CloudQueue) -> None:
        """Delete, with the tasks in it."""
        request = DeleteQueueRequest(name=self._path(resource.name))
        await ask(f"delete queue {resource.name}", lambda: self._client.delete_queue(request, **ONCE))

    async def pause(self, name: str) -> None:
        """Dispatch nothing."""
        request = PauseQueueRequest(name=self._path(name))
        await ask(f"pause queue {name}", lambda: self._client.pause_queue(request, **ONCE))

    async def resume(self, name: str) -> None:
        """Dispatch again."""
        request = ResumeQueueRequest(name=self._path(name))
        await ask(f"resume queue {name}", lambda: self._client.resume_queue(request, **ONCE))

    async def _list(self) -> list[Queue]:
        request = ListQueuesRequest(parent=self._place.path, page_size=1000)
        return [queue async for queue in await self._client.list_queues(request, **ONCE)]

    async def _is_busy(self, name: str) -> bool:
        async def first() -> bool:
            request = ListTasksRequest(parent=self._path(name), page_size=1)
            async for _ in await self._client.list_tasks(request, **ONCE):
                return True
            return False

        try:
            return await ask(f"look into queue {name}", first)
        except NotThereError:  # deleted a moment ago
            return False

    def _path(self, name: str) -> str:
        return f"{self._place.path}/queues/{name}"

    def _message(self, resource: CloudQueue) -> Queue:
        return Queue(
            name=self._path(resource.name),
            rate_limits=RateLimits(
                max_dispatches_per_second=resource.rate, max_concurrent_dispatches=resource.concurrency
            ),
            retry_config=RetryConfig(
                max_attempts=resource.max_attempts,
                max_retry_duration=timedelta(milliseconds=resource.max_retry_ms),
                min_backoff=timedelta(milliseconds=resource.min_backoff_ms),
                max_backoff=timedelta(milliseconds=resource.max_backoff_ms),
                max_doublings=resource.max_doublings,
            ),
        )


def _resource(name: str, queue: Untyped) -> CloudQueue:
    limits, retry = queue.rate_limits, queue.retry_config
    return CloudQueue(
        name=name,
        rate=limits.max_dispatches_per_second,
        concurrency=limits.max_concurrent_dispatches,
        max_attempts=retry.max_attempts,
        max_retry_ms=milliseconds(retry.max_retry_duration),
        min_backoff_ms=milliseconds(retry.min_backoff),
        max_backoff_ms=milliseconds(retry.max_backoff),
        max_doublings=retry.max_doublings,
    )
