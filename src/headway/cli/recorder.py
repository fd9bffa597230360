"""`headway recorder`: record what becomes of an app's jobs."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from headway.cli.given_app import takes_app
from headway.cli.options import examples, json_option, log_options, metrics_options
from headway.cli.output import announce
from headway.cli.stopping import stop_signal
from headway.cli.streams import say

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from headway.app.app import Headway
    from headway.records import RecordStore


@click.command(
    epilog=examples("headway recorder shop.jobs:app", "headway recorder shop.jobs:app --log-format json")
)
@takes_app
@metrics_options
@log_options
@json_option("when it is ready, one line,")
def recorder(app: str, /, *, metrics_port: int | None, metrics_host: str, as_json: bool) -> int:
    """Record what becomes of the jobs of APP (module:name) until SIGTERM or Ctrl-C.

    The setting `records` says where to; `headway db upgrade` makes the tables. Several may run: one records, the others
    stand by. What happens while none runs, or while the database is away, is recorded later, as long as the carriers
    keep their events. Exit code 2: there is no such setting, or the tables are of another version.
    """
    import asyncio

    from headway.cli.target import import_app
    from headway.runtime.logs import configure_logging

    configure_logging()
    found = import_app(app).import_included()
    store = records_of(found)

    async def serve() -> None:
        from headway.records import Recorder

        async with store, found, Recorder(found, store):
            stopped = stop_signal()
            with ExitStack() as stack:
                port = None
                if metrics_port is not None:
                    port = stack.enter_context(_served(found, store, metrics_host, metrics_port))
                served = "" if port is None else f", metrics on port {port}"
                say(f"headway: recorder ready: {app} to {store.place.name}{served}")
                if as_json:
                    ready = {"event": "ready", "pid": os.getpid(), "records": store.place.name}
                    announce(ready if port is None else ready | {"metrics_port": port})
                await stopped.wait()
            say("headway: recorder ends; another one goes on where it was")

    asyncio.run(serve())
    return 0


def _served(app: Headway, store: RecordStore, host: str, port: int) -> AbstractContextManager[int]:
    """Serve the metrics of the app while this is entered; ConfigError when the package for it is missing."""
    import asyncio

    from headway.errors import ConfigError

    try:
        from headway.telemetry.of_app import AppMetrics, OfLoop
        from headway.telemetry.of_group import serving
    except ModuleNotFoundError as error:
        msg = f"--metrics-port needs the package {error.name}: pip install 'headway[metrics]'"
        raise ConfigError(msg) from error
    return serving(OfLoop(AppMetrics(app, store), asyncio.get_running_loop()), host, port)


def records_of(app: Headway) -> RecordStore:
    """Return where an app's records are; ConfigError when it has none."""
    from headway.errors import ConfigError

    if not app.settings.records:
        msg = (
            f"app {app.name!r} has no records: set records = postgresql://... or sqlite:///records.db in its settings, "
            "or HEADWAY_RECORDS"
        )
        raise ConfigError(msg)
    try:
        from headway.records import RecordStore
    except ModuleNotFoundError as error:
        msg = f"records need the package {error.name}: pip install 'headway[records]'"
        raise ConfigError(msg) from error
    return RecordStore(app.settings.records, namespace=app.settings.namespace or app.name)
