"""All providers of an app, opened together."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from headway.gcp.access import IAM, PROJECTS, PUBSUB, RUN, SCHEDULER, TASKS, Access
from headway.gcp.iam import Bindings, project_number
from headway.gcp.pubsub import Subscriptions, Topics
from headway.gcp.queues import Queues
from headway.gcp.resources import Kind
from headway.gcp.run import Services
from headway.gcp.scheduler import Schedules

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from headway.gcp.place import Place
    from headway.gcp.provider import Guarded, Pausable, Provider
    from headway.gcp.resources import Resource, Seen

_APIS: Final = {
    Kind.TOPIC: (PUBSUB,),
    Kind.SUBSCRIPTION: (PUBSUB,),
    Kind.SERVICE: (RUN,),
    Kind.BINDING: (PROJECTS, IAM, RUN, PUBSUB),
    Kind.QUEUE: (TASKS,),
    Kind.SCHEDULE: (SCHEDULER,),
}


class Cloud:
    """The providers by kind. Kinds that an emulator leaves out have none."""

    def __init__(self, providers: Mapping[Kind, Provider[Any]]) -> None:
        self.providers = dict(providers)

    @property
    def missing(self) -> list[Kind]:
        """The kinds that nobody serves here."""
        return [kind for kind in Kind if kind not in self.providers]

    def served(self, wanted: Iterable[Resource]) -> list[Resource]:
        """Return those of the wanted resources that somebody serves here."""
        return [resource for resource in wanted if resource.kind in self.providers]

    async def read(self, wanted: Sequence[Resource], kinds: Iterable[Kind] = tuple(Kind)) -> list[Seen]:
        """Return what is there of these kinds."""
        found = await asyncio.gather(
            *(
                self.providers[kind].read([resource for resource in wanted if resource.kind is kind])
                for kind in kinds
                if kind in self.providers
            )
        )
        return [seen for part in found for seen in part]

    def guarded(self, kind: Kind) -> Guarded[Any] | None:
        """Return who tells whether one of these still holds something; None where they hold nothing."""
        provider = self.providers.get(kind)
        return provider if isinstance(provider, Queues) else None

    def pausable(self, kind: Kind) -> Pausable | None:
        """Return who pauses these; None when nobody serves them here, or they cannot be paused."""
        provider = self.providers.get(kind)
        return provider if isinstance(provider, Queues | Schedules) else None


@asynccontextmanager
async def open_cloud(
    place: Place, namespace: str, environ: Mapping[str, str] | None = None
) -> AsyncGenerator[tuple[Cloud, Access]]:
    """Connect; nothing is asked yet. CloudError when there are no credentials."""
    access = Access(place, environ)
    try:
        kinds = [kind for kind, apis in _APIS.items() if access.offers(*apis)]
        yield Cloud({kind: await _connect(kind, access, place, namespace) for kind in kinds}), access
    finally:
        await access.close()


async def number_of(access: Access, place: Place) -> str | None:
    """Return the project's number; None when nobody tells it here."""
    return await project_number(access, place) if access.offers(PROJECTS) else None


async def _connect(kind: Kind, access: Access, place: Place, namespace: str) -> Provider[Any]:
    match kind:
        case Kind.TOPIC:
            return await Topics.connect(access, place, namespace)
        case Kind.SUBSCRIPTION:
            return await Subscriptions.connect(access, place, namespace)
        case Kind.SERVICE:
            return await Services.connect(access, place, namespace)
        case Kind.BINDING:
            return await Bindings.connect(access)
        case Kind.QUEUE:
            return await Queues.connect(access, place, namespace)
        case Kind.SCHEDULE:
            return await Schedules.connect(access, place, namespace)
