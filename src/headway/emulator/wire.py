"""The protobuf classes of the API. They are generated without stubs, so all are Any, from here on and in one place."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, TypeAlias

# What a message holds is checked by protobuf itself.
Message: TypeAlias = Any


def _from(module: str) -> Message:
    return import_module(module)


_tasks: Final = _from("google.cloud.tasks_v2")

# proto-plus wraps the raw classes, and takes ten times as long for each field.
QueueMessage: Final[Message] = _tasks.Queue.pb()
TaskMessage: Final[Message] = _tasks.Task.pb()
ListQueuesResponse: Final[Message] = _tasks.ListQueuesResponse.pb()
ListTasksResponse: Final[Message] = _tasks.ListTasksResponse.pb()
BatchCreateTasksMetadata: Final[Message] = _from("google.cloud.tasks_v2.types").BatchCreateTasksMetadata.pb()
BatchCreateTasksResponse: Final[Message] = _from("google.cloud.tasks_v2.types").BatchCreateTasksResponse.pb()
BatchDeleteTasksMetadata: Final[Message] = _from("google.cloud.tasks_v2.types").BatchDeleteTasksMetadata.pb()

Empty: Final[Message] = _from("google.protobuf.empty_pb2").Empty
Operation: Final[Message] = _from("google.longrunning.operations_pb2").Operation
GetOperationRequest: Final[Message] = _from("google.longrunning.operations_pb2").GetOperationRequest
HttpBody: Final[Message] = _from("google.api.httpbody_pb2").HttpBody
Status: Final[Message] = _from("google.rpc.status_pb2").Status
Policy: Final[Message] = _from("google.iam.v1.policy_pb2").Policy
GetIamPolicyRequest: Final[Message] = _from("google.iam.v1.iam_policy_pb2").GetIamPolicyRequest
SetIamPolicyRequest: Final[Message] = _from("google.iam.v1.iam_policy_pb2").SetIamPolicyRequest
TestIamPermissionsRequest: Final[Message] = _from("google.iam.v1.iam_policy_pb2").TestIamPermissionsRequest
TestIamPermissionsResponse: Final[Message] = _from("google.iam.v1.iam_policy_pb2").TestIamPermissionsResponse
Location: Final[Message] = _from("google.cloud.location.locations_pb2").Location
GetLocationRequest: Final[Message] = _from("google.cloud.location.locations_pb2").GetLocationRequest
ListLocationsRequest: Final[Message] = _from("google.cloud.location.locations_pb2").ListLocationsRequest
ListLocationsResponse: Final[Message] = _from("google.cloud.location.locations_pb2").ListLocationsResponse


def request_class(name: str) -> Message:
    """Return the class of a request of Cloud Tasks, such as `CreateTaskRequest`."""
    return getattr(_from("google.cloud.tasks_v2.types"), name).pb()
