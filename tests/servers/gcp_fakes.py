"""Fakes of the Google Cloud services that no emulator serves: Run, IAM, Resource Manager, Pub/Sub. In memory, real gRPC.

They answer as the services do where `headway gcp` depends on it: codes, etags, masks, labels, conditions of policies.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self, cast

import grpc  # type: ignore[import-untyped]
from google.cloud import resourcemanager_v3, run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2  # type: ignore[import-untyped]
from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.protobuf import any_pb2, empty_pb2  # type: ignore[import-untyped]
from google.pubsub_v1 import types as pubsub
from google.rpc import status_pb2  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

NUMBER: Final = "123456789"
Handler = tuple["Callable[[Any], Any]", Any, Any]


class _RefusalError(Exception):
    """Becomes the answer of the call."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class GcpFakes:
    """One server for all of them; what they keep is open to the tests."""

    def __init__(self, project: str = "demo") -> None:
        self.project = project
        self.services: dict[str, run_v2.Service] = {}
        self.topics: dict[str, pubsub.Topic] = {}
        self.subscriptions: dict[str, pubsub.Subscription] = {}
        self.policies: dict[str, policy_pb2.Policy] = {}
        self.accounts: set[str] = set()  # resources whose policy can be read: those of services are so anyway
        self.calls: list[str] = []
        self.port = 0
        self._failures: dict[str, list[grpc.StatusCode | None]] = {}
        self._lost: set[str] = set()
        self._operations: dict[str, Any] = {}
        self.deployments_fail = ""  # with this message
        self.deployments_last = False  # an operation is not done at once
        self._server = grpc.server(ThreadPoolExecutor(4))

    def fail(self, method: str, *codes: grpc.StatusCode | None) -> None:
        """Answer the next calls of a method so; None is an ordinary answer."""
        self._failures[method] = list(codes)

    def lose_answer(self, method: str) -> None:
        """Do the next call of a method, and answer that the service is unavailable."""
        self._lost.add(method)

    @property
    def writes(self) -> list[str]:
        """The calls so far that change something."""
        return [call for call in self.calls if not call.startswith(("Get", "List"))]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead `headway gcp` here."""
        names = ("PUBSUB", "CLOUD_RUN", "IAM", "RESOURCE_MANAGER")
        return {f"{name}_EMULATOR_HOST": f"127.0.0.1:{self.port}" for name in names}

    def __enter__(self) -> Self:
        for service, methods in self._routes().items():
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(self._guarded(name, call), reads, writes)
                for name, (call, reads, writes) in methods.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(10)

    def _guarded(self, name: str, call: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(name)
            planned = self._failures.get(name)
            code = planned.pop(0) if planned else None
            if code is not None:
                context.abort(code, f"{name} is made to fail")
            answered: Any = None
            try:
                answered = call(request)
            except _RefusalError as error:
                context.abort(error.code, str(error))
            if name in self._lost:
                self._lost.discard(name)
                context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
            return answered

        return answer

    def _routes(self) -> dict[str, dict[str, Handler]]:
        policies: dict[str, Handler] = {
            "GetIamPolicy": (
                self._get_policy, iam_policy_pb2.GetIamPolicyRequest.FromString, policy_pb2.Policy.SerializeToString,
            ),
            "SetIamPolicy": (
                self._set_policy, iam_policy_pb2.SetIamPolicyRequest.FromString, policy_pb2.Policy.SerializeToString,
            ),
        }  # fmt: skip
        operation = operations_pb2.Operation.SerializeToString
        empty = empty_pb2.Empty.SerializeToString
        p: Any = pubsub  # its messages, and those of Run, are partly unknown to type checkers
        run: Any = run_v2
        projects: Any = resourcemanager_v3
        return {
            "google.cloud.run.v2.Services": {
                "ListServices": (self._list_services, run.ListServicesRequest.deserialize, run.ListServicesResponse.serialize),
                "GetService": (self._get_service, run.GetServiceRequest.deserialize, run.Service.serialize),
                "CreateService": (self._create_service, run.CreateServiceRequest.deserialize, operation),
                "UpdateService": (self._update_service, run.UpdateServiceRequest.deserialize, operation),
                "DeleteService": (self._delete_service, run.DeleteServiceRequest.deserialize, operation),
                **policies,
            },
            "google.longrunning.Operations": {
                "GetOperation": (
                    lambda request: self._found(self._operations, request.name),
                    operations_pb2.GetOperationRequest.FromString,
                    operation,
                ),
            },
            "google.iam.admin.v1.IAM": dict(policies),
            "google.iam.v1.IAMPolicy": dict(policies),
            "google.cloud.resourcemanager.v3.Projects": {
                "GetProject": (self._get_project, projects.GetProjectRequest.deserialize, projects.Project.serialize),
                **policies,
            },
            "google.pubsub.v1.Publisher": {
                "ListTopics": (lambda _: p.ListTopicsResponse(topics=list(self.topics.values())), p.ListTopicsRequest.deserialize, p.ListTopicsResponse.serialize),
                "CreateTopic": (lambda topic: self._create(self.topics, topic.name, topic), p.Topic.deserialize, p.Topic.serialize),
                "UpdateTopic": (lambda request: self._masked(self.topics, request.topic, request.update_mask), p.UpdateTopicRequest.deserialize, p.Topic.serialize),
                "DeleteTopic": (lambda request: self._delete(self.topics, request.topic), p.DeleteTopicRequest.deserialize, empty),
            },
            "google.pubsub.v1.Subscriber": {
                "ListSubscriptions": (lambda _: p.ListSubscriptionsResponse(subscriptions=list(self.subscriptions.values())), p.ListSubscriptionsRequest.deserialize, p.ListSubscriptionsResponse.serialize),
                "GetSubscription": (lambda request: self._found(self.subscriptions, request.subscription), p.GetSubscriptionRequest.deserialize, p.Subscription.serialize),
                "CreateSubscription": (self._create_subscription, p.Subscription.deserialize, p.Subscription.serialize),
                "UpdateSubscription": (lambda request: self._masked(self.subscriptions, request.subscription, request.update_mask), p.UpdateSubscriptionRequest.deserialize, p.Subscription.serialize),
                "DeleteSubscription": (lambda request: self._delete(self.subscriptions, request.subscription), p.DeleteSubscriptionRequest.deserialize, empty),
            },
        }  # fmt: skip

    # --- Run ----------------------------------------------------------------------------------------------------

    def _list_services(self, request: run_v2.ListServicesRequest) -> run_v2.ListServicesResponse:
        found = [service for name, service in self.services.items() if name.startswith(f"{request.parent}/")]
        return run_v2.ListServicesResponse(services=found)

    def _get_service(self, request: run_v2.GetServiceRequest) -> Any:
        return self._found(self.services, request.name)

    def _create_service(self, request: run_v2.CreateServiceRequest) -> operations_pb2.Operation:
        if request.service.name:
            raise _RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "service.name must be empty")
        name = f"{request.parent}/services/{request.service_id}"
        service = self._create(self.services, name, request.service)
        service.name = name
        service.uri = f"https://{request.service_id}-abc123-ew.a.run.app"
        service.etag = "1"
        _fill_in(service)
        return self._operation(service)

    def _update_service(self, request: run_v2.UpdateServiceRequest) -> operations_pb2.Operation:
        before = self._found(self.services, request.service.name)
        if request.service.etag not in {"", before.etag}:
            raise _RefusalError(grpc.StatusCode.ABORTED, "the etag does not match")
        if request.service.template.revision:
            raise _RefusalError(
                grpc.StatusCode.ALREADY_EXISTS, f"revision {request.service.template.revision} exists"
            )
        request.service.etag = str(int(before.etag) + 1)
        self.services[before.name] = request.service
        _fill_in(request.service)
        return self._operation(request.service)

    def _delete_service(self, request: run_v2.DeleteServiceRequest) -> operations_pb2.Operation:
        service = self._found(self.services, request.name)
        del self.services[request.name]
        self.policies.pop(request.name, None)
        return _ended(service, f"operations/{len(self._operations)}")

    def _operation(self, service: run_v2.Service) -> Any:
        """Deploy: the service is there at once, whether it works is known when the operation has ended."""
        name = f"operations/{len(self._operations)}"
        ended = _ended(service, name)
        state = run_v2.Condition.State
        service.terminal_condition = run_v2.Condition(state=state.CONDITION_SUCCEEDED)
        if self.deployments_fail:
            failed = run_v2.Condition(state=state.CONDITION_FAILED, message=self.deployments_fail)
            service.terminal_condition = failed
            error = status_pb2.Status(code=9, message=self.deployments_fail)
            ended = operations_pb2.Operation(name=name, done=True, error=error)
        self._operations[name] = ended
        return operations_pb2.Operation(name=name) if self.deployments_last else ended

    # --- policies and projects ----------------------------------------------------------------------------------

    def _get_project(self, request: resourcemanager_v3.GetProjectRequest) -> resourcemanager_v3.Project:
        if request.name != f"projects/{self.project}":
            raise _RefusalError(grpc.StatusCode.PERMISSION_DENIED, "no such project, or no right to see it")
        return resourcemanager_v3.Project(name=f"projects/{NUMBER}", project_id=self.project)

    def _get_policy(self, request: iam_policy_pb2.GetIamPolicyRequest) -> policy_pb2.Policy:
        stored = self._policy(request.resource)
        answered = policy_pb2.Policy()
        answered.CopyFrom(stored)
        if request.options.requested_policy_version < 3:  # conditions are kept from who would lose them
            del answered.bindings[:]
            answered.bindings.extend(one for one in stored.bindings if not one.HasField("condition"))
        return answered

    def _set_policy(self, request: iam_policy_pb2.SetIamPolicyRequest) -> policy_pb2.Policy:
        stored = self._policy(request.resource)
        if request.policy.etag not in {b"", stored.etag}:
            raise _RefusalError(grpc.StatusCode.ABORTED, "the etag does not match")
        request.policy.etag = stored.etag + b"+"
        self.policies[request.resource] = request.policy
        return request.policy

    def _policy(self, resource: str) -> policy_pb2.Policy:
        kept: tuple[Any, ...] = (self.accounts, self.services, self.topics, self.subscriptions)
        if resource != f"projects/{self.project}" and not any(resource in one for one in kept):
            raise _RefusalError(grpc.StatusCode.NOT_FOUND, f"{resource} does not exist")
        return self.policies.setdefault(resource, policy_pb2.Policy(etag=b"e"))

    def bindings(self) -> Iterator[tuple[str, str, str]]:
        """Yield resource, role and member of all policies."""
        for resource, policy in self.policies.items():
            for binding in policy.bindings:
                for member in binding.members:
                    yield resource, binding.role, member

    # --- Pub/Sub ------------------------------------------------------------------------------------------------

    def _create_subscription(self, subscription: pubsub.Subscription) -> Any:
        self._found(self.topics, subscription.topic)
        return self._create(self.subscriptions, subscription.name, subscription)

    def _masked(self, kept: dict[str, Any], wanted: Any, mask: Any) -> Any:
        before: Any = self._found(kept, wanted.name)
        if not mask.paths:
            raise _RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "the mask is empty")
        raw = _raw(before)
        source = _raw(wanted)
        for path in mask.paths:
            raw.ClearField(path)
            if path == "ack_deadline_seconds":
                raw.ack_deadline_seconds = source.ack_deadline_seconds
            elif source.HasField(path):
                getattr(raw, path).CopyFrom(getattr(source, path))
        return before

    # --- all ----------------------------------------------------------------------------------------------------

    def _create(self, kept: dict[str, Any], name: str, resource: Any) -> Any:
        if name in kept:
            raise _RefusalError(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
        kept[name] = resource
        return resource

    def _found(self, kept: dict[str, Any], name: str) -> Any:
        if name not in kept:
            raise _RefusalError(grpc.StatusCode.NOT_FOUND, f"{name} does not exist")
        return kept[name]

    def _delete(self, kept: dict[str, Any], name: str) -> empty_pb2.Empty:
        self._found(kept, name)
        del kept[name]
        self.policies.pop(name, None)
        return empty_pb2.Empty()


def _fill_in(service: Any) -> None:
    """What Cloud Run adds to a service that does not say it."""
    if not service.template.service_account:
        service.template.service_account = f"{NUMBER}-compute@developer.gserviceaccount.com"


def _raw(message: Any) -> Any:
    """The protobuf message inside."""
    kind: Any = cast("Any", type(message))
    return kind.pb(message)


def _ended(service: Any, name: str) -> operations_pb2.Operation:
    response = any_pb2.Any()
    response.Pack(_raw(service))
    return operations_pb2.Operation(name=name, done=True, response=response)
