"""`headway emulator`: Cloud Tasks and Cloud Scheduler on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headway.cli.failures import StdoutError
from headway.cli.options import examples, json_option, log_options
from headway.cli.output import announce
from headway.cli.stopping import stop_signal
from headway.cli.streams import abandon_stdout, emit, say
from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.emulator.server import Emulator


@click.command(
    epilog=examples(
        "headway emulator",
        "headway emulator --state emulator.db",
        "headway emulator --queue shop/europe-west6/mail=5 --queue shop/europe-west6/reports",
        "headway emulator --port 9123 --http-port 9124 --json",
        "headway emulator --faults duplicates=0.2,delays=0.1:2s,unavailable=0.05,lost=0.05,seed=7",
        "HEADWAY_PUSH_SECRET=... headway emulator --state dispatcher.db",
    )
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8123, show_default=True, help="For gRPC; 0: a free one."
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    help="For REST and the certificates; 0: a free one.  [default: the next one after --port]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Whoever reaches it may use it: nobody is asked for credentials.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep queues, tasks, jobs and the key of the tokens in this SQLite file, over restarts.  [default: in memory]",
)
@click.option(
    "--faults", metavar="FAULTS", help="Faults to inject, as in the examples; shares are from 0 to 1."
)
@click.option(
    "--secret",
    envvar="HEADWAY_PUSH_SECRET",
    show_envvar=True,
    help="Sign each request with this secret; rather set the variable, which other users of the machine cannot see.",
)
@click.option(
    "--queue",
    "queues",
    metavar="NAME[=RATE,...]",
    multiple=True,
    help="Have this queue from the start, as shop/europe-west6/mail=5,concurrent=10,attempts=3; may be repeated.",
)
@click.option(
    "--target",
    "targets",
    metavar="URL",
    multiple=True,
    help="Give tokens and signatures to this receiver, and what lies below its path; may be repeated.  "
    "[default: whatever listens on this machine's loopback addresses]",
)
@click.option(
    "--allow-host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name by which the HTTP port may be called, as another container does; may be repeated.  "
    "[always: localhost, loopback addresses, --host]",
)
@click.option(
    "--issuer",
    metavar="URL",
    help="Who the OIDC tokens say has issued them.  [default: https://accounts.google.com]",
)
@log_options
@json_option("the addresses, when it is ready, on one line")
def emulator(  # noqa: PLR0913 - one for each option
    *,
    port: int,
    http_port: int | None,
    host: str,
    state: Path | None,
    faults: str | None,
    secret: str | None,
    targets: tuple[str, ...],
    hosts: tuple[str, ...],
    queues: tuple[str, ...],
    issuer: str | None,
    as_json: bool,
) -> int:
    """Run an emulator of Google Cloud Tasks (v2) and Cloud Scheduler (v1) until SIGTERM or Ctrl-C.

    It serves both APIs over gRPC and over REST, and sends what is due by HTTP as Google does: with its headers,
    tokens, rates and retries. With --state it is also a dispatcher to rely on: what it accepted survives a crash.
    PUBSUB_EMULATOR_HOST is where the messages of scheduled Pub/Sub jobs go.
    """
    import asyncio

    from headway.runtime.logs import configure_logging

    try:
        from headway.emulator.faults import parse_faults
        from headway.emulator.standalone import running
        from headway.emulator.tokens import GOOGLE_ISSUER
        from headway.http.server import name_lack_of_descriptors
    except ModuleNotFoundError as error:
        msg = f"the emulator needs the package of {error.name}: pip install 'headway[emulator]'"
        raise ConfigError(msg) from error

    configure_logging()
    wanted = parse_faults(faults) if faults else None
    if http_port is None:
        http_port = port + 1 if 0 < port < 65535 else 0  # noqa: PLR2004 - the last port

    async def serve() -> None:
        name_lack_of_descriptors(asyncio.get_running_loop())
        async with running(
            host=host,
            grpc_port=port,
            http_port=http_port,
            state=state,
            faults=wanted,
            secret=secret.encode() if secret else None,
            targets=targets,
            hosts=hosts,
            queues=queues,
            issuer=issuer or GOOGLE_ISSUER,
            pubsub_host=os.environ.get("PUBSUB_EMULATOR_HOST") or None,
        ) as started:
            stopped = stop_signal()
            _announce(started, state, as_json=as_json)
            await stopped.wait()
            say("headway: emulator ends; what is under way will be sent again")

    asyncio.run(serve())
    return 0


def _announce(started: Emulator, state: Path | None, *, as_json: bool) -> None:
    """Say that it is ready: what tests, scripts and service managers wait for."""
    from headway.emulator.tokens import CERTS_PATH

    certificates = f"{started.http_address}{CERTS_PATH}"
    if as_json:
        announce(
            {
                "event": "ready",
                "pid": os.getpid(),
                "grpc": started.grpc_address,
                "http": started.http_address,
                "certificates": certificates,
                "state": None if state is None else str(state),
            }
        )
    else:
        for line in (
            f"# gRPC {started.grpc_address}, REST {started.http_address}, state {state or 'in memory only'}",
            f"export CLOUD_TASKS_EMULATOR_HOST={started.grpc_address}",
            f"export CLOUD_SCHEDULER_EMULATOR_HOST={started.grpc_address}",
            f"export HEADWAY_TOKEN_KEYS={certificates}",
            f"export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS={started.http_address}/",
            f"export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDSCHEDULER={started.http_address}/",
        ):
            try:
                emit(line)
            except StdoutError:  # nobody reads what it prints; it serves all the same
                abandon_stdout()
                break
    say("headway: emulator ready")
