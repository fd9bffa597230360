"""Bindings in the policies of the project and of what is in it, such as service accounts: added, never taken away."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from google.api_core import grpc_helpers_async
from google.api_core.exceptions import Aborted
from google.cloud.resourcemanager_v3.services.projects import ProjectsAsyncClient
from google.cloud.resourcemanager_v3.services.projects.transports import ProjectsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services import ServicesAsyncClient
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.iam.v1.iam_policy_pb2 import GetIamPolicyRequest, SetIamPolicyRequest  # type: ignore[import-untyped]
from google.iam.v1.options_pb2 import GetPolicyOptions  # type: ignore[import-untyped]
from google.iam.v1.policy_pb2 import Policy  # type: ignore[import-untyped]
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

from headway.gcp.access import IAM, PROJECTS, PUBSUB, RUN
from headway.gcp.errors import ONCE, NotThereError, ask
from headway.gcp.resources import CloudBinding, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio  # type: ignore[import-untyped]

    from headway.gcp.access import Access
    from headway.gcp.messages import Untyped
    from headway.gcp.place import Place

_grpc = cast("Untyped", grpc_helpers_async)
_VERSION: Final = 3  # an older one leaves out conditions, and to write it back would lose them
_TRIES: Final = 5


class _Policies(Protocol):
    """Reads and writes the policies of one service; the messages have no stubs."""

    async def get_iam_policy(self, request: Any, *, retry: None, timeout: float) -> Any:  # noqa: ANN401, ASYNC109 - as above
        ...

    async def set_iam_policy(self, request: Any, *, retry: None, timeout: float) -> Any:  # noqa: ANN401, ASYNC109 - as above
        ...


class _ServiceAccounts:
    """The two calls of the IAM API, whose client is a package of its own that nothing else here would use."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        service = "/google.iam.admin.v1.IAM"
        self._get: Untyped = _grpc.wrap_errors(
            channel.unary_unary(
                f"{service}/GetIamPolicy", GetIamPolicyRequest.SerializeToString, Policy.FromString
            )
        )
        self._set: Untyped = _grpc.wrap_errors(
            channel.unary_unary(
                f"{service}/SetIamPolicy", SetIamPolicyRequest.SerializeToString, Policy.FromString
            )
        )

    async def get_iam_policy(self, request: Any, *, retry: None, timeout: float) -> Any:  # noqa: ANN401, ARG002, ASYNC109 - see _Policies
        return await self._get(request, timeout=timeout, metadata=_routed(request))

    async def set_iam_policy(self, request: Any, *, retry: None, timeout: float) -> Any:  # noqa: ANN401, ARG002, ASYNC109 - see _Policies
        return await self._set(request, timeout=timeout, metadata=_routed(request))


class Bindings:
    """Provider of CloudBinding."""

    def __init__(
        self, projects: _Policies, accounts: _Policies, services: _Policies, pubsub: _Policies
    ) -> None:
        self._projects = projects
        self._accounts = accounts
        self._services = services
        self._pubsub = pubsub

    @classmethod
    async def connect(cls, access: Access) -> Bindings:
        """Make the clients."""
        return cls(
            ProjectsAsyncClient(
                transport=ProjectsGrpcAsyncIOTransport(channel=await access.channel(PROJECTS))
            ),
            _ServiceAccounts(await access.channel(IAM)),
            ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=await access.channel(RUN))),
            PublisherAsyncClient(
                transport=PublisherGrpcAsyncIOTransport(channel=await access.channel(PUBSUB))
            ),
        )

    async def read(self, wanted: Sequence[CloudBinding]) -> list[Seen]:
        """Return those of the wanted ones that are there: no others are ours."""
        found: list[Seen] = []
        for target in dict.fromkeys(binding.target for binding in wanted):
            try:
                policy = await ask(f"read the policy of {target}", partial(self._get, target))
            except NotThereError:  # yet to be created, as a service or a topic may be
                continue
            found += [
                Seen(binding) for binding in wanted if binding.target == target and _holds(policy, binding)
            ]
        return found

    async def create(self, resource: CloudBinding) -> None:
        """Add the member; a change of the policy at the same time is not overwritten."""

        async def add() -> None:
            policy = await self._get(resource.target)
            if _holds(policy, resource):
                return
            for binding in policy.bindings:
                if binding.role == resource.role and not binding.HasField("condition"):
                    binding.members.append(resource.member)
                    break
            else:
                policy.bindings.add(role=resource.role, members=[resource.member])
            policy.version = _VERSION
            request = SetIamPolicyRequest(resource=resource.target, policy=policy)
            await self._of(resource.target).set_iam_policy(request, **ONCE)

        async def until_added() -> None:
            for _ in range(_TRIES - 1):
                with suppress(Aborted):  # somebody else was faster: look again
                    await add()
                    return
            await add()

        await ask(f"bind {resource.name}", until_added)

    async def update(self, resource: CloudBinding) -> None:
        """Do nothing: a binding has nothing that could differ."""

    async def delete(self, resource: CloudBinding) -> None:
        """Do nothing: bindings are never taken away."""

    async def _get(self, target: str) -> Any:  # noqa: ANN401 - see _Policies
        options = GetPolicyOptions(requested_policy_version=_VERSION)
        return await self._of(target).get_iam_policy(
            GetIamPolicyRequest(resource=target, options=options), **ONCE
        )

    def _of(self, target: str) -> _Policies:
        if "/serviceAccounts/" in target:
            return self._accounts
        if "/services/" in target:
            return self._services
        if "/topics/" in target or "/subscriptions/" in target:
            return self._pubsub
        return self._projects


async def project_number(access: Access, place: Place) -> str:
    """Return the number of the project, which the URLs of its services have in them."""
    client: Untyped = ProjectsAsyncClient(
        transport=ProjectsGrpcAsyncIOTransport(channel=await access.channel(PROJECTS))
    )
    name = f"projects/{place.project}"
    project = await ask(f"look at project {place.project}", lambda: client.get_project(name=name, **ONCE))
    return str(project.name).rpartition("/")[2]


def _holds(policy: Any, wanted: CloudBinding) -> bool:  # noqa: ANN401 - see _Policies
    return any(
        binding.role == wanted.role and wanted.member in binding.members and not binding.HasField("condition")
        for binding in policy.bindings
    )


def _routed(request: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - see _Policies
    return [("x-goog-request-params", f"resource={request.resource}")]
