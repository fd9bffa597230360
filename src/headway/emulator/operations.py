"""Every operation of Cloud Tasks v2: its name over gRPC, its verb and path over REST, and what performs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from headway.emulator import wire
from headway.emulator.wire import request_class

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.emulator.access import Access
    from headway.emulator.batches import Batches
    from headway.emulator.locations import Locations
    from headway.emulator.queues import Queues
    from headway.emulator.tasks import Tasks
    from headway.emulator.wire import Message

Perform: TypeAlias = "Callable[[Message], Awaitable[Message]]"

TASKS: Final = "google.cloud.tasks.v2.CloudTasks"
OPERATIONS: Final = "google.longrunning.Operations"
LOCATIONS: Final = "google.cloud.location.Locations"

_LOCATION: Final = "projects/*/locations/*"
_QUEUE: Final = f"{_LOCATION}/queues/*"
_TASK: Final = f"{_QUEUE}/tasks/*"


class Operation(NamedTuple):
    """`rule` is the path, as in `{name=projects/*}:run`: what the braces match fills the field that they name.

    `body` names the field of the request that the JSON body is; `*` is the request itself.
    """

    service: str
    name: str
    request: Message
    perform: Perform
    verb: str
    rule: str
    body: str = ""

    @property
    def takes_raw(self) -> bool:
        """The body of the HTTP request is taken as it is, whatever its type."""
        field = self.request.DESCRIPTOR.fields_by_name.get(self.body)
        return (
            field is not None
            and field.message_type is not None
            and field.message_type.full_name == "google.api.HttpBody"
        )

    @property
    def reads(self) -> bool:
        """It changes nothing, and tells what there is."""
        return self.verb == "GET"


def operations(
    queues: Queues, tasks: Tasks, batches: Batches, access: Access, locations: Locations
) -> list[Operation]:
    """Return the operations, bound to what performs them."""

    def call(name: str, perform: Perform, verb: str, rule: str, body: str = "") -> Operation:
        return Operation(TASKS, name, request_class(f"{name}Request"), perform, verb, rule, body)

    def iam(name: str, request: Message, perform: Perform, suffix: str) -> Operation:
        return Operation(TASKS, name, request, perform, "POST", f"{{resource={_QUEUE}}}:{suffix}", "*")

    one_queue, all_queues = f"{{name={_QUEUE}}}", f"{{parent={_LOCATION}}}/queues"
    one_task, all_tasks = f"{{name={_TASK}}}", f"{{parent={_QUEUE}}}/tasks"
    operation = f"{{name={_LOCATION}/operations/*}}"
    permissions = wire.TestIamPermissionsRequest
    return [
        call("ListQueues", queues.list_queues, "GET", all_queues),
        call("GetQueue", queues.get_queue, "GET", one_queue),
        call("CreateQueue", queues.create_queue, "POST", all_queues, "queue"),
        call("UpdateQueue", queues.update_queue, "PATCH", f"{{queue.name={_QUEUE}}}", "queue"),
        call("DeleteQueue", queues.delete_queue, "DELETE", one_queue),
        call("PurgeQueue", queues.purge_queue, "POST", f"{one_queue}:purge", "*"),
        call("PauseQueue", queues.pause_queue, "POST", f"{one_queue}:pause", "*"),
        call("ResumeQueue", queues.resume_queue, "POST", f"{one_queue}:resume", "*"),
        iam("GetIamPolicy", wire.GetIamPolicyRequest, access.get_iam_policy, "getIamPolicy"),
        iam("SetIamPolicy", wire.SetIamPolicyRequest, access.set_iam_policy, "setIamPolicy"),
        iam("TestIamPermissions", permissions, access.test_iam_permissions, "testIamPermissions"),
        call("ListTasks", tasks.list_tasks, "GET", all_tasks),
        call("GetTask", tasks.get_task, "GET", one_task),
        call("CreateTask", tasks.create_task, "POST", all_tasks, "*"),
        call("DeleteTask", tasks.delete_task, "DELETE", one_task),
        call("RunTask", tasks.run_task, "POST", f"{one_task}:run", "*"),
        call("BatchCreateTasks", batches.batch_create_tasks, "POST", f"{all_tasks}:batchCreate", "*"),
        call("BatchDeleteTasks", batches.batch_delete_tasks, "POST", f"{all_tasks}:batchDelete", "*"),
        Operation(
            OPERATIONS, "GetOperation", wire.GetOperationRequest, batches.get_operation, "GET", operation
        ),
        *location_operations(locations),
    ]


def location_operations(locations: Locations) -> list[Operation]:
    """Return the operations on locations, which each API has below its own version."""
    one, every = f"{{name={_LOCATION}}}", "{name=projects/*}/locations"
    return [
        Operation(LOCATIONS, "GetLocation", wire.GetLocationRequest, locations.get_location, "GET", one),
        Operation(
            LOCATIONS, "ListLocations", wire.ListLocationsRequest, locations.list_locations, "GET", every
        ),
    ]
