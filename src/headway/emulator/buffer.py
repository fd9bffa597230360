"""BufferTask: a task from nothing but its body, sent to where its queue says. Over REST only, as at the service."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from headway.emulator.errors import ApiError, Code
from headway.emulator.messages import task_message
from headway.emulator.names import check_queue, check_task, queue_of
from headway.emulator.operations import TASKS, Operation
from headway.emulator.queues import existing_queue
from headway.emulator.wire import HttpBody, TaskMessage, request_class

if TYPE_CHECKING:
    from headway.emulator.store import Store
    from headway.emulator.tasks import Tasks
    from headway.emulator.wire import Message

# They have no stubs.
_described: Final[Message] = import_module("google.protobuf.descriptor_pb2")
_pool: Final[Message] = import_module("google.protobuf.descriptor_pool").Default()
_factory: Final[Message] = import_module("google.protobuf.message_factory")

_QUEUE: Final = "projects/*/locations/*/queues/*"
_BASIC: Final = 1
_NO_TARGET: Final = "The queue has no HTTP target with a host, to which its buffered tasks could be sent."


class Buffer:
    """Creates tasks that have no URL of their own."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        """`tasks` accepts them."""
        self._store = store
        self._tasks = tasks

    async def buffer_task(self, request: Message) -> Message:
        """Accept a task; FAILED_PRECONDITION when the queue does not say where to send it."""
        parent = queue_of(check_task(request.name)) if request.name else check_queue(request.queue)
        queue = existing_queue(self._store, parent)
        if queue.target is None or queue.target.uri is None or not queue.target.uri.host:
            raise ApiError(Code.FAILED_PRECONDITION, _NO_TARGET)
        create = request_class("CreateTaskRequest")(parent=parent)
        create.task.name = request.name
        create.task.http_request.body = request.body.data
        if request.body.content_type:
            create.task.http_request.headers["Content-Type"] = request.body.content_type
        task = self._tasks.accept(create, buffered=True)
        await self._store.journal.commit()
        self._tasks.accepted(task)
        return _Response(task=task_message(task, _BASIC))

    def operations(self) -> list[Operation]:
        """Return the operation at its three paths: gcloud sends the second when it is given no id.

        The body of the request is that of the task, whatever it is. A request by GET has none.
        """
        return [
            Operation(TASKS, "BufferTask", _Request, self.buffer_task, verb, rule, "body")
            for verb in ("POST", "GET")
            for rule in (
                f"{{queue={_QUEUE}}}/tasks:buffer",
                f"{{queue={_QUEUE}}}/tasks/:buffer",
                f"{{name={_QUEUE}/tasks/*}}:buffer",
            )
        ]


def _messages() -> tuple[Message, Message]:
    """Make the classes of request and response: the client library has none, as BufferTask is not in its gRPC."""
    file = _described.FileDescriptorProto(
        name="headway/emulator/buffer.proto", package="headway.emulator", syntax="proto3"
    )
    body, task = HttpBody.DESCRIPTOR, TaskMessage.DESCRIPTOR
    file.dependency.extend([body.file.name, task.file.name])
    field_of = _described.FieldDescriptorProto
    text, message = field_of.TYPE_STRING, field_of.TYPE_MESSAGE
    for name, fields in (
        (
            "BufferTaskRequest",
            (("queue", text, ""), ("name", text, ""), ("body", message, f".{body.full_name}")),
        ),
        ("BufferTaskResponse", (("task", message, f".{task.full_name}"),)),
    ):
        described = file.message_type.add(name=name)
        for number, (field, kind, type_name) in enumerate(fields, 1):
            described.field.add(
                name=field,
                number=number,
                type=kind,
                label=field_of.LABEL_OPTIONAL,
                type_name=type_name or None,
            )
    _pool.Add(file)
    request, response = (
        _factory.GetMessageClass(_pool.FindMessageTypeByName(f"headway.emulator.{name}"))
        for name in ("BufferTaskRequest", "BufferTaskResponse")
    )
    return request, response


_Request, _Response = _messages()
