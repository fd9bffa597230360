"""Cloud Run services; ours bear the label."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from google.cloud.run_v2.services.services import ServicesAsyncClient
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.cloud.run_v2.types import (
    Condition,
    Container,
    CreateServiceRequest,
    DeleteServiceRequest,
    EnvVar,
    EnvVarSource,
    IngressTraffic,
    ListServicesRequest,
    ResourceRequirements,
    SecretKeySelector,
    Service,
    UpdateServiceRequest,
)
from msgspec.structs import replace

from headway.gcp.access import RUN
from headway.gcp.errors import ONCE, CloudError, ask
from headway.gcp.messages import milliseconds
from headway.gcp.naming import LABEL, label_of
from headway.gcp.resources import CloudService, EnvValue, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.gcp.access import Access
    from headway.gcp.messages import Untyped
    from headway.gcp.place import Place

_INGRESS: Final = {
    "internal": IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
    "load-balancer": IngressTraffic.INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER,
    "all": IngressTraffic.INGRESS_TRAFFIC_ALL,
}
_NAMED: Final = {traffic: name for name, traffic in _INGRESS.items()}
_CONTAINER: Final = "headway"
_DEPLOYED_S: Final = 900.0  # an image may be large, and its first instance slow


class Services:
    """Provider of CloudService."""

    def __init__(self, client: Untyped, place: Place, namespace: str) -> None:
        self._client = client
        self._place = place
        self._label = label_of(namespace)

    @classmethod
    async def connect(cls, access: Access, place: Place, namespace: str) -> Services:
        """Make the client."""
        transport = ServicesGrpcAsyncIOTransport(channel=await access.channel(RUN))
        return cls(ServicesAsyncClient(transport=transport), place, namespace)

    async def read(self, wanted: Sequence[CloudService]) -> list[Seen]:
        """Return the services with the app's label; no other is needed for it.

        The account of one that declares none is left out: Cloud Run has filled in its default, or somebody another.
        """
        any_account = {service.name for service in wanted if not service.service_account}
        found: list[Seen] = []
        for service in await ask("list the Cloud Run services", self._list):
            if service.labels.get(LABEL) == self._label:
                resource = _resource(service)
                if resource.name in any_account:
                    resource = replace(resource, service_account="")
                found.append(Seen(resource, detail=service.uri, broken=_broken(service)))
        return found

    async def create(self, resource: CloudService) -> None:
        """Create, and wait until it is deployed."""
        message = _new(self._label)
        _write(resource, message)
        request = CreateServiceRequest(parent=self._place.path, service=message, service_id=resource.name)

        async def create() -> None:
            operation = await self._client.create_service(request, **ONCE)
            await operation.result(timeout=_DEPLOYED_S)

        await ask(f"create service {resource.name}", create)

    async def update(self, resource: CloudService) -> None:
        """Change what is declared, keep the rest, and wait until it is deployed."""

        async def update() -> None:
            message = await self._client.get_service(name=self._path(resource.name), **ONCE)
            if message.labels.get(LABEL) != self._label:
                msg = f"change service {resource.name}: it does not bear the label {LABEL}={self._label} any more"
                raise CloudError(msg)
            _write(resource, message)
            # With its etag: a change at the same time is not overwritten.
            operation = await self._client.update_service(UpdateServiceRequest(service=message), **ONCE)
            await operation.result(timeout=_DEPLOYED_S)

        await ask(f"change service {resource.name}", update)

    async def delete(self, resource: CloudService) -> None:
        """Delete."""

        async def delete() -> None:
            operation = await self._client.delete_service(
                DeleteServiceRequest(name=self._path(resource.name)), **ONCE
            )
            await operation.result(timeout=_DEPLOYED_S)

        await ask(f"delete service {resource.name}", delete)

    async def _list(self) -> list[Service]:
        request = ListServicesRequest(parent=self._place.path, page_size=100)
        return [service async for service in await self._client.list_services(request, **ONCE)]

    def _path(self, name: str) -> str:
        return f"{self._place.path}/services/{name}"


def _broken(service: Untyped) -> str:
    """Say why the last deployment failed; the revision before it serves on, if there is one."""
    condition = service.terminal_condition
    if condition.state != Condition.State.CONDITION_FAILED:
        return ""
    return f"its last deployment failed: {condition.message or 'see the log of Cloud Run'}"


def _new(label: str) -> Untyped:
    """Return a service with what is not declared, and therefore left as it is from then on."""
    resources = ResourceRequirements(cpu_idle=True, startup_cpu_boost=True)
    message: Untyped = Service(labels={LABEL: label})
    message.template.containers = [Container(name=_CONTAINER, resources=resources)]
    return message


def _ours(containers: Untyped) -> Untyped:
    """Return the container that the declaration is about, among any sidecars; None when there is no container."""
    named = [container for container in containers if container.name == _CONTAINER]
    # Cloud Run sends requests to the one that has a port.
    reached = [container for container in containers if container.ports]
    return next(iter([*named, *reached, *containers]), None)


def _write(resource: CloudService, message: Untyped) -> None:
    """Write what is declared over what is there, and keep the rest."""
    message.ingress = _INGRESS[resource.ingress]
    message.invoker_iam_disabled = not resource.token_checked
    template = message.template
    template.revision = ""  # the name of the revision that was; the next gets its own
    template.timeout = timedelta(seconds=resource.timeout_s)
    if resource.service_account:
        template.service_account = resource.service_account
    template.max_instance_request_concurrency = resource.concurrency
    template.scaling.min_instance_count = resource.min_instances
    template.scaling.max_instance_count = resource.max_instances
    if not template.containers:
        template.containers = [Container(name=_CONTAINER)]
    container = _ours(template.containers)
    container.image = resource.image
    container.command = list(resource.command)
    container.resources.limits["cpu"] = resource.cpu
    container.resources.limits["memory"] = resource.memory
    container.env = [_variable(name, value) for name, value in sorted(resource.env.items())]


def _variable(name: str, value: EnvValue) -> EnvVar:
    if value.secret:
        selector = SecretKeySelector(secret=value.secret, version=value.version)
        return EnvVar(name=name, value_source=EnvVarSource(secret_key_ref=selector))
    return EnvVar(name=name, value=value.value)


def _resource(service: Untyped) -> CloudService:
    template = service.template
    container = _ours(template.containers) or Container()
    return CloudService(
        name=service.name.rpartition("/")[2],
        image=container.image,
        command=tuple(container.command),
        cpu=container.resources.limits.get("cpu", ""),
        memory=container.resources.limits.get("memory", ""),
        timeout_s=milliseconds(template.timeout) // 1000,
        min_instances=template.scaling.min_instance_count,
        max_instances=template.scaling.max_instance_count,
        concurrency=template.max_instance_request_concurrency,
        service_account=template.service_account,
        env={
            variable.name: EnvValue(
                variable.value,
                variable.value_source.secret_key_ref.secret,
                variable.value_source.secret_key_ref.version,
            )
            for variable in container.env
        },
        ingress=_NAMED.get(service.ingress, "other"),
        token_checked=not service.invoker_iam_disabled,
    )
