"""The official client, spoken to in plain data: the only module here that loads Google's packages, in 0.3 s."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from google.auth.exceptions import GoogleAuthError

from headway.brokers.cloudtasks.api.resources import RemoteQueue, RemoteTask, TaskSpec
from headway.errors import BrokerRefusedError

if TYPE_CHECKING:
    from headway.brokers.cloudtasks.location import Location


def _untyped(module: str) -> Any:  # noqa: ANN401 - of what Google's packages export, half has types
    return import_module(module)


_auth: Final = _untyped("google.auth")
_grpc: Final = _untyped("grpc.aio")
_service: Final = _untyped("google.cloud.tasks_v2.services.cloud_tasks")
_transports: Final = _untyped("google.cloud.tasks_v2.services.cloud_tasks.transports")
cloudtasks: Final = _untyped("google.cloud.tasks_v2.types.cloudtasks")
queue: Final = _untyped("google.cloud.tasks_v2.types.queue")
target: Final = _untyped("google.cloud.tasks_v2.types.target")
task: Final = _untyped("google.cloud.tasks_v2.types.task")

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_ATTEMPT_S: Final = 5.0  # of one call; what is lost is asked again
_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),  # a page of whole tasks
    ("grpc.keepalive_time_ms", 60_000),
    # After an outage the channel waits longer and longer before it connects again, two minutes by default.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


async def connect(location: Location) -> Api:
    """Make the client; nothing is sent yet. BrokerRefusedError when there are no credentials."""
    if location.emulator:
        channel = _grpc.insecure_channel(
            location.emulator, options=[*_OPTIONS, ("grpc.enable_http_proxy", 0)]
        )
    else:
        try:
            # It may read files and ask the metadata server.
            credentials, _ = await asyncio.to_thread(_auth.default, scopes=[_SCOPE])
        except GoogleAuthError as error:
            msg = (
                f"{location.name}: there are no Google credentials ({error}): on a machine of yours run "
                "`gcloud auth application-default login`; on Google Cloud give the service an account"
            )
            raise BrokerRefusedError(msg) from error
        channel = _transports.CloudTasksGrpcAsyncIOTransport.create_channel(
            credentials=credentials, options=_OPTIONS
        )
    return Api(
        _service.CloudTasksAsyncClient(transport=_transports.CloudTasksGrpcAsyncIOTransport(channel=channel)),
        location,
    )


class Api:
    """Each method is one call of the API, made once, and raises what the client raises."""

    def __init__(self, client: Any, location: Location) -> None:  # noqa: ANN401 - as above
        self._client = client
        self._location = location

    async def close(self) -> None:
        """Close the channel."""
        await self._client.transport.close()

    async def create_task(self, queue_id: str, spec: TaskSpec) -> None:
        """Create a named task."""
        made = task.Task.pb()()
        made.name = self._location.task_path(queue_id, spec.id)
        http = made.http_request
        http.url = spec.url
        http.http_method = target.HttpMethod.POST
        http.headers.update(spec.headers)
        http.body = spec.body
        if spec.service_account:
            http.oidc_token.service_account_email = spec.service_account
            http.oidc_token.audience = spec.audience
        if spec.due_ms is not None:
            made.schedule_time.FromMilliseconds(spec.due_ms)
        made.dispatch_deadline.FromMilliseconds(spec.deadline_ms)
        # Whatever the queue says: Cloud Tasks never gives a job up, that is the retry policy's business.
        retry = made.retry_config
        retry.max_attempts = -1
        retry.max_retry_duration.FromSeconds(0)
        retry.min_backoff.FromSeconds(spec.min_backoff_s)
        retry.max_backoff.FromSeconds(spec.max_backoff_s)
        retry.max_doublings = spec.max_doublings
        request = cloudtasks.CreateTaskRequest.pb()(
            parent=self._location.queue_path(queue_id), task=made, response_view=task.Task.View.BASIC
        )
        await self._client.create_task(
            cloudtasks.CreateTaskRequest.wrap(request), retry=None, timeout=_ATTEMPT_S
        )

    async def get_task(self, queue_id: str, task_id: str) -> RemoteTask:
        """Return a task with its body."""
        found = await self._client.get_task(
            cloudtasks.GetTaskRequest(
                name=self._location.task_path(queue_id, task_id), response_view=task.Task.View.FULL
            ),
            retry=None,
            timeout=_ATTEMPT_S,
        )
        return _remote(queue_id, task.Task.pb(found))

    async def list_tasks(
        self, queue_id: str, *, full: bool, size: int, token: str
    ) -> tuple[list[RemoteTask], str]:
        """Return one page of the queue's tasks, with their bodies if `full`, and the token of the next ("": none)."""
        pager = await self._client.list_tasks(
            cloudtasks.ListTasksRequest(
                parent=self._location.queue_path(queue_id),
                response_view=task.Task.View.FULL if full else task.Task.View.BASIC,
                page_size=size,
                page_token=token,
            ),
            retry=None,
            timeout=2 * _ATTEMPT_S,
        )
        async for page in pager.pages:
            raw = cloudtasks.ListTasksResponse.pb(page)
            return [_remote(queue_id, found) for found in raw.tasks], raw.next_page_token
        return [], ""

    async def delete_task(self, queue_id: str, task_id: str) -> None:
        """Delete a task."""
        await self._client.delete_task(
            cloudtasks.DeleteTaskRequest(name=self._location.task_path(queue_id, task_id)),
            retry=None,
            timeout=_ATTEMPT_S,
        )

    async def run_task(self, queue_id: str, task_id: str) -> None:
        """Dispatch a task now."""
        await self._client.run_task(
            cloudtasks.RunTaskRequest(name=self._location.task_path(queue_id, task_id)),
            retry=None,
            timeout=_ATTEMPT_S,
        )

    async def list_queues(self) -> list[RemoteQueue]:
        """Return the queues of the location."""
        pager = await self._client.list_queues(
            cloudtasks.ListQueuesRequest(parent=self._location.path, page_size=1000),
            retry=None,
            timeout=_ATTEMPT_S,
        )
        return [
            RemoteQueue(found.name.rpartition("/")[2], paused=found.state == queue.Queue.State.PAUSED)
            async for found in pager
        ]

    async def create_queue(self, queue_id: str) -> None:
        """Create a queue with the limits that Google sets by default."""
        await self._client.create_queue(
            cloudtasks.CreateQueueRequest(
                parent=self._location.path, queue=queue.Queue(name=self._location.queue_path(queue_id))
            ),
            retry=None,
            timeout=_ATTEMPT_S,
        )

    async def pause_queue(self, queue_id: str) -> None:
        """Dispatch no more of the queue's tasks."""
        await self._client.pause_queue(
            cloudtasks.PauseQueueRequest(name=self._location.queue_path(queue_id)),
            retry=None,
            timeout=_ATTEMPT_S,
        )

    async def resume_queue(self, queue_id: str) -> None:
        """Dispatch the queue's tasks again."""
        await self._client.resume_queue(
            cloudtasks.ResumeQueueRequest(name=self._location.queue_path(queue_id)),
            retry=None,
            timeout=_ATTEMPT_S,
        )


def _remote(queue_id: str, found: Any) -> RemoteTask:  # noqa: ANN401 - a protobuf message, which has no stubs
    return RemoteTask(
        queue_id=queue_id,
        id=found.name.rpartition("/")[2],
        due_ms=found.schedule_time.ToMilliseconds(),
        dispatches=found.dispatch_count,
        headers={name.lower(): value for name, value in found.http_request.headers.items()},
        body=found.http_request.body,
    )
