"""Whose jobs a command is about: an app that is imported, or a carrier's URL and an app's name without any code."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from headway.errors import ConfigError, HeadwayError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from headway.app.app import Headway
    from headway.brokers.base import Store
    from headway.config import Settings
    from headway.routing.failover.failover import Failover

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Target(NamedTuple):
    """As it was typed; an app takes the place of url and namespace."""

    app: str | None
    url: str | None
    namespace: str | None


class OpenTarget(NamedTuple):
    """An open carrier, and those that it consists of, by name. `app` is None when no code was imported."""

    carrier: Store
    settings: Settings
    app: Headway | None
    carriers: Mapping[str, Store]
    failover: Failover | None = None  # None: there is no spool


def takes_target(function: Callable[Concatenate[Target, P], R]) -> Callable[..., R]:
    """Add `--app`, `--url` and `--namespace`, given to the command as one Target."""

    @click.option(
        "--app", metavar="MODULE:NAME", help="The app whose jobs are meant, imported.  [env: HEADWAY_APP]"
    )
    @click.option("--url", help="Instead of --app: the carrier.  [env: HEADWAY_URL; or headway.toml]")
    @click.option(
        "--namespace", help="With --url: the app's name.  [env: HEADWAY_NAMESPACE; or headway.toml]"
    )
    @wraps(function)
    def command(
        *args: Any,  # noqa: ANN401 - the command's own
        app: str | None,
        url: str | None,
        namespace: str | None,
        **kwargs: Any,  # noqa: ANN401 - the command's own
    ) -> R:
        return function(chosen_target(app, url, namespace), *args, **kwargs)

    return command


def chosen_target(app: str | None, url: str | None, namespace: str | None) -> Target:
    """Put together what was typed and HEADWAY_APP; UsageError when it says two things."""
    if app is not None and (url is not None or namespace is not None):
        msg = "give either --app, or --url with --namespace: an app knows its own"
        raise click.UsageError(msg)
    if app is None and url is None and namespace is None:
        app = os.environ.get("HEADWAY_APP") or None
    return Target(app, url, namespace)


def settings_of(target: Target) -> Settings:
    """Read the settings for a target without code."""
    from headway.config import load_settings

    return load_settings({"url": target.url, "namespace": target.namespace})


def import_app(path: str) -> Headway:
    """Import an app; ConfigError in one line also for what its module raises."""
    from headway.runtime.loading import load_app

    try:
        return load_app(path)
    except HeadwayError:
        raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})" if trace is not None else ""
        msg = f"app {path!r} cannot be imported: {type(error).__name__}: {error}{where}"
        raise ConfigError(msg) from error


@asynccontextmanager
async def opened(target: Target) -> AsyncGenerator[OpenTarget]:
    """Open the carrier of a target; ConfigError when it names none."""
    if target.app is not None:
        app = import_app(target.app)
        async with app:
            yield OpenTarget(app.carrier, app.settings, app, app.carriers, app.failover)
        return
    settings = settings_of(target)
    if not settings.namespace:
        msg = "whose jobs? give --app module:name, or --namespace with the app's name (and --url)"
        raise ConfigError(msg)
    from headway.app.opening import OpenApps

    apps = OpenApps(settings.namespace, settings, None, None)
    here = await apps.open()
    try:
        yield OpenTarget(here.carrier, settings, None, here.carriers, here.failover)
    finally:
        await apps.close()


def with_target(target: Target, work: Callable[[OpenTarget], Awaitable[T]]) -> T:
    """Run work on the opened target, on a loop of its own."""
    import asyncio

    async def run() -> T:
        async with opened(target) as target_:
            return await work(target_)

    return asyncio.run(run())
