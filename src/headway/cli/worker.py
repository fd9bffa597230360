"""`headway worker`: run an app's jobs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from headway.cli.carriers import carriers_option
from headway.cli.given_app import takes_app
from headway.cli.metrics import GroupMetrics
from headway.cli.options import DURATION, NAMES, examples, json_option, log_options, metrics_options
from headway.cli.output import announce
from headway.cli.streams import say
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.runtime.supervisor import Supervisor


@click.command(
    epilog=examples(
        "headway worker shop.jobs:app",
        "headway worker shop.jobs:app --queues email,reports --processes 4 --concurrency 50",
        "headway worker shop.jobs:app --carriers main,east",
        "headway worker shop.jobs:app --lease 30s --grace 25s --max-memory-mb 512",
    )
)
@takes_app
@click.option("--queues", type=NAMES, help="Serve these queues only.  [default: all of the app's tasks]")
@carriers_option(pull=True)
@click.option("--concurrency", type=click.IntRange(1), help="Jobs at once in one process.  [default: 20]")
@click.option(
    "--processes", type=click.IntRange(1), help="Worker processes.  [default: the CPU quota, 8 at most]"
)
@click.option("--lease", type=DURATION, help="How long a dead host keeps its jobs.  [default: 15s]")
@click.option(
    "--grace", type=DURATION, help="From SIGTERM to the hand-back of what still runs.  [default: 25s]"
)
@click.option("--max-jobs", type=click.IntRange(0), help="Replace a process after so many jobs; 0: never.")
@click.option(
    "--max-memory-mb", type=click.IntRange(0), help="Replace a process above so much memory; 0: never."
)
@metrics_options
@log_options
@json_option("when it is ready and when it has ended, one line each,")
def worker(app: str, /, **given: Any) -> int:  # noqa: ANN401 - the options of the command, passed on
    """Run the jobs of APP (module:name) until SIGTERM or Ctrl-C.

    The first signal drains: running jobs may finish within the grace time, the rest is handed back. The second ends
    every process at once. What is not given here comes from the app's settings. Exit code 2: the app cannot be loaded.
    """
    return serve(app, watch=None, **given)


def serve(  # noqa: PLR0913 - the options of the command
    app: str,
    *,
    queues: list[str] | None,
    carriers: list[str] | None,
    concurrency: int | None,
    processes: int | None,
    lease: float | None,
    grace: float | None,
    max_jobs: int | None,
    max_memory_mb: int | None,
    metrics_port: int | None,
    metrics_host: str,
    as_json: bool,
    watch: Callable[[list[str]], list[str]] | None,
) -> int:
    """Run workers until they are told to end; return the exit code. What `watch` names makes them start anew."""
    import asyncio

    from headway.brokers.url import from_url, pulled
    from headway.config import load_settings
    from headway.runtime.control import WorkerOptions
    from headway.runtime.forked import fork_worker
    from headway.runtime.logs import configure_logging
    from headway.runtime.supervisor import Supervisor, table_size

    module, colon, name = app.partition(":")
    if not (module and colon and name):
        msg = f"app {app!r}: write it as module:name, such as shop.jobs:app"
        raise ConfigError(msg)
    try:
        load_settings({"lease": lease, "grace": grace})  # what no worker would take, before one is started
    except ConfigError as error:
        raise ConfigError(str(error).replace("argument: ", "--")) from error
    configure_logging()
    options = WorkerOptions(
        app=app, queues=queues, carriers=carriers, concurrency=concurrency, lease=lease, grace=grace
    )
    metrics = GroupMetrics(metrics_host, metrics_port)
    first = fork_worker(options, table_size(options))

    async def supervise() -> int:
        supervisor = Supervisor(
            options,
            open_carrier=lambda url, settings: pulled(from_url(url, settings)),
            processes=processes,
            max_jobs=max_jobs,
            max_memory_mb=max_memory_mb,
            watch=watch,
            first=first,
        )
        _obey_signals(supervisor)
        announced = asyncio.create_task(_announce(supervisor, app, metrics.port, as_json=as_json))
        try:
            return await supervisor.run()
        finally:
            announced.cancel()

    with metrics:
        code = asyncio.run(supervise())
    if as_json:
        announce({"event": "ended", "pid": os.getpid(), "exit_code": code})
    return code


def _obey_signals(supervisor: Supervisor) -> None:
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    heard: list[int] = []

    def stop() -> None:
        supervisor.stop()  # first: what is said may find nobody who listens
        say(
            "headway: ending every worker process now"
            if heard
            else "headway: draining; the same signal again ends it at once"
        )
        heard.append(1)

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            loop.add_signal_handler(getattr(signal, name), stop)


async def _announce(supervisor: Supervisor, app: str, metrics_port: int | None, *, as_json: bool) -> None:
    """Say once that every process claims: what tests, scripts and service managers wait for."""
    await supervisor.claiming.wait()
    pids = supervisor.pids
    served = "" if metrics_port is None else f", metrics on port {metrics_port}"
    say(f"headway: worker ready: {app}, processes {', '.join(map(str, pids))}{served}")
    if as_json:
        ready: dict[str, Any] = {"event": "ready", "pid": os.getpid(), "processes": pids}
        announce(ready if metrics_port is None else ready | {"metrics_port": metrics_port})
