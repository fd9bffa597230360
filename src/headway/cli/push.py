"""`headway push`: receive and run the jobs that a carrier pushes."""

from __future__ import annotations

import os
from importlib.util import find_spec

import click

from headway.cli.carriers import carriers_option
from headway.cli.given_app import takes_app
from headway.cli.metrics import GroupMetrics
from headway.cli.options import DURATION, NAMES, examples, json_option, log_options, metrics_options
from headway.cli.output import announce
from headway.cli.streams import say
from headway.errors import ConfigError


@click.command(
    epilog=examples(
        "headway push shop.jobs:app",
        "headway push shop.jobs:app --port 9000 --concurrency 20",
        "headway push shop.jobs:app --queues email,reports --grace 9s",
        "PORT=8080 headway push shop.jobs:app    (as on Cloud Run)",
    )
)
@takes_app
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1; every one where PORT is set]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="PORT",
    show_envvar=True,
    default=8080,
    show_default=True,
    help="0: a free one.",
)
@click.option("--queues", type=NAMES, help="Run jobs of these queues only; others come back.  [default: all]")
@carriers_option(pull=False)
@click.option("--concurrency", type=click.IntRange(1), help="Jobs at once; beyond it 429.  [default: 80]")
@click.option("--lease", type=DURATION, help="How long a dead receiver keeps its jobs.  [default: 60s]")
@click.option(
    "--grace", type=DURATION, help="From SIGTERM to the hand-back of what still runs.  [default: 9s]"
)
@metrics_options
@log_options
@json_option("when it is ready, on one line,")
def push(  # noqa: PLR0913 - the options of the command
    app: str,
    *,
    host: str | None,
    port: int,
    queues: list[str] | None,
    carriers: list[str] | None,
    concurrency: int | None,
    lease: float | None,
    grace: float | None,
    metrics_port: int | None,
    metrics_host: str,
    as_json: bool,
) -> int:
    """Receive the jobs of APP (module:name) by HTTP and run them, until SIGTERM or Ctrl-C.

    For carriers that push, such as cloudtasks://. The first signal drains: running jobs may finish within the grace
    time, the rest is handed back. The second hands back at once. GET /ready tells whether it takes jobs. What is not
    given here comes from the app's settings. Exit code 2: the app cannot be loaded or is not set up to receive;
    1: a part of the receiver failed, start it anew.
    """
    if any(find_spec(name) is None for name in ("uvicorn", "httpx", "jwt")):
        msg = "the receiver needs more packages: pip install 'headway[push]'"
        raise ConfigError(msg)
    from headway.cli.target import import_app
    from headway.config import load_settings
    from headway.http.server import bind
    from headway.push.receiver import receiver
    from headway.push.serve import run
    from headway.runtime.logs import adopt_logging, configure_logging

    try:
        load_settings({"push_lease": lease, "push_grace": grace})
    except ConfigError as error:
        raise ConfigError(str(error).replace("argument: push_", "--")) from error
    configure_logging()
    loaded = import_app(app)
    adopt_logging()
    if not loaded.tasks:
        msg = f"app {app!r} declares no task; import the modules of its tasks where it is made"
        raise ConfigError(msg)
    listening = bind(host or ("0.0.0.0" if os.environ.get("PORT") else "127.0.0.1"), port)  # noqa: S104 - as documented
    made = receiver(
        loaded,
        queues=queues,
        carriers=carriers,
        concurrency=concurrency,
        lease=lease,
        grace=grace,
        app_path=app,
        handle_sigterm=False,
    )
    address, bound = listening.getsockname()[:2]
    url = f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"

    metrics = GroupMetrics(metrics_host, metrics_port)

    def ready() -> None:
        served = "" if metrics.port is None else f", metrics on port {metrics.port}"
        say(f"headway: receiver ready: {app}, {url}{served}")
        if as_json:
            told = {"event": "ready", "pid": os.getpid(), "url": url}
            announce(told if metrics.port is None else told | {"metrics_port": metrics.port})

    with listening, metrics:
        return run(made, listening, ready)
