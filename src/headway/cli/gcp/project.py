"""Which app, which deployment, and the cloud that both are about."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from headway.cli.given_app import takes_app, takes_app_and_words
from headway.cli.streams import say
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from headway.app.app import Headway
    from headway.gcp import Deployment
    from headway.gcp.cloud import Cloud
    from headway.gcp.resources import Resource, Seen

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_CLIENTS = (
    "google.cloud.scheduler_v1",
    "google.cloud.run_v2",
    "google.pubsub_v1",
    "google.cloud.resourcemanager_v3",
)


_deployment_option = click.option(
    "--deployment",
    metavar="MODULE:NAME",
    help="The Deployment.  [default: `deployment` in the app's module, if there is one]",
)


class Project(NamedTuple):
    """An app and what is declared of its deployment."""

    app: Headway
    deployment: Deployment


class Survey(NamedTuple):
    """What is wanted of the kinds that can be asked for here, what there is, and who keeps it."""

    project: Project
    wanted: list[Resource]
    seen: list[Seen]
    cloud: Cloud


def takes_project(function: Callable[Concatenate[Project, P], R]) -> Callable[..., R]:
    """Add APP and `--deployment`, given to the command as one Project."""

    @takes_app
    @_deployment_option
    @wraps(function)
    def command(
        app: str,
        /,
        *args: Any,  # noqa: ANN401 - the command's own
        deployment: str | None,
        **kwargs: Any,  # noqa: ANN401 - the command's own
    ) -> R:
        return function(_project(app, deployment), *args, **kwargs)

    return command


def takes_project_and_names(
    function: Callable[Concatenate[Project, tuple[str, ...], P], R],
) -> Callable[..., R]:
    """Add APP, names behind it and `--deployment`, given to the command as one Project and the names."""

    @takes_app_and_words("[NAME]...")
    @_deployment_option
    @wraps(function)
    def command(
        app: str,
        names: tuple[str, ...],
        /,
        *args: Any,  # noqa: ANN401 - the command's own
        deployment: str | None,
        **kwargs: Any,  # noqa: ANN401 - the command's own
    ) -> R:
        return function(_project(app, deployment), names, *args, **kwargs)

    return command


def _project(path: str, deployment: str | None) -> Project:
    from headway.cli.target import import_app

    app = import_app(path)
    return Project(app, _deployment(path, deployment))


def _deployment(app: str, path: str | None) -> Deployment:
    """Import the deployment; an app that declares none has its queues and schedules."""
    from headway.gcp import Deployment

    wanted = path or f"{app.partition(':')[0]}:deployment"
    module_name, colon, attribute = wanted.partition(":")
    if not colon or not module_name or not attribute:
        msg = f"deployment {wanted!r}: write it as module:name, such as shop.cloud:deployment"
        raise ConfigError(msg)
    try:
        module = import_module(module_name)
    except ImportError as error:
        msg = f"deployment {wanted!r} cannot be imported: {error}"
        raise ConfigError(msg) from error
    found: object = getattr(module, attribute, None)
    if found is None and path is None:
        return Deployment()
    if not isinstance(found, Deployment):
        msg = f"deployment {wanted!r}: there is no headway.gcp.Deployment of that name"
        raise ConfigError(msg)
    return found


def with_cloud(project: Project, work: Callable[[Survey], Awaitable[T]]) -> T:
    """Look at the cloud and run work on what was seen, on a loop of its own."""
    _check_installed()
    import asyncio

    async def run() -> T:
        async with _surveyed(project) as survey:
            return await work(survey)

    return asyncio.run(run())


@asynccontextmanager
async def _surveyed(project: Project) -> AsyncGenerator[Survey]:
    from headway.gcp.cloud import number_of, open_cloud
    from headway.gcp.desired import desired, namespace_of, needs_number, place_of

    app, deployment = project
    place = place_of(app, deployment)
    desired(app, deployment, "0")  # what is wrong with it shows before anybody is asked
    async with open_cloud(place, namespace_of(app)) as (cloud, access):
        number = await number_of(access, place) if needs_number(app, deployment) else None
        whole = desired(app, deployment, number)
        wanted = cloud.served(whole)
        if left_out := sorted({str(resource.kind) for resource in whole} - {str(one.kind) for one in wanted}):
            say(f"left out, as no emulator serves it: {', '.join(left_out)}")
        yield Survey(project, wanted, await cloud.read(wanted), cloud)


def _check_installed() -> None:
    for module in _CLIENTS:
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            msg = "`headway gcp` needs Google's clients: pip install 'headway[gcp-admin]'"
            raise ConfigError(msg)
