"""`headway server`: the REST API, live events and what else a service needs, for one app."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import click

from headway.cli.given_app import takes_app
from headway.cli.options import NAMES, examples, json_option, log_options
from headway.cli.output import announce
from headway.cli.streams import say
from headway.errors import ConfigError

_LOOK = 0.5  # seconds between two looks whether the parent lives
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog=examples(
        "headway server shop.jobs:app",
        "headway server shop.jobs:app --port 9000",
        "headway server shop.jobs:app --host 0.0.0.0 --behind-proxy --allow-host jobs.example.com",
        "headway server shop.jobs:app --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem",
    )
)
@takes_app
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option(
    "--allow-host",
    "hosts",
    type=NAMES,
    envvar="HEADWAY_SERVER_HOSTS",
    show_envvar=True,
    help="Names by which the server is called, beside localhost and addresses.",
)
@click.option(
    "--behind-proxy",
    is_flag=True,
    help="A proxy speaks HTTPS before this server: its X-Forwarded-* headers are believed.",
)
@click.option("--tls-cert", type=_FILE, help="Speak HTTPS with this certificate, a PEM file.")
@click.option("--tls-key", type=_FILE, help="Its key.")
@click.option(
    "--rate",
    type=click.IntRange(1),
    default=300_000,
    show_default=True,
    help="Requests a minute of a key that names no rate of its own.",
)
@click.option(
    "--max-body-mb", type=click.IntRange(1, 1024), default=32, show_default=True, help="Of a request."
)
@click.option(
    "--fd",
    type=click.IntRange(0),
    help="A listening socket that was inherited, by its number, instead of host and port; the server ends with the "
    "process that it is from.",
)
@click.option("--no-dashboard", "no_pages", is_flag=True, help="The API alone, without pages at /.")
@log_options
@json_option("when it is ready, on one line,")
def server(  # noqa: PLR0913 - the options of the command
    app: str,
    *,
    host: str,
    port: int,
    hosts: list[str] | None,
    behind_proxy: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    rate: int,
    max_body_mb: int,
    no_pages: bool,
    fd: int | None,
    as_json: bool,
) -> int:
    """Serve the REST API, live events and the dashboard of APP (module:name), until SIGTERM or Ctrl-C.

    Callers need a key (headway keys create); only while there is none yet, whoever calls from this machine may do
    everything. An address that other machines can reach takes keys, and HTTPS: here or in a proxy before it. Keys and
    the audit log are in the database of the setting `access`. GET /readyz tells whether all that it depends on answers.
    """
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "sqlalchemy", "jinja2")):
        msg = "the server needs more packages: pip install 'headway[server]'"
        raise ConfigError(msg)
    if (tls_cert is None) != (tls_key is None):
        msg = "--tls-cert and --tls-key belong together"
        raise click.UsageError(msg)
    import asyncio
    import socket

    from headway.cli.target import import_app
    from headway.dashboard.serving import pages_of
    from headway.http.server import bind
    from headway.runtime.logs import adopt_logging, configure_logging
    from headway.server.access.authentication import is_loopback
    from headway.server.running import Server, ServerOptions
    from headway.server.serve import Place, check_exposure, run

    configure_logging()
    loaded = import_app(app)
    adopt_logging()
    place = Place(host, port, tls_cert, tls_key, behind_proxy)
    asyncio.run(check_exposure(loaded, place))
    made = Server(
        loaded,
        ServerOptions(
            hosts=tuple(hosts or ()),
            open_without_keys=is_loopback(host) and not behind_proxy,
            secure=place.secure,
            max_body=max_body_mb * 1024 * 1024,
            rate=rate,
        ),
        None if no_pages else pages_of,
    )
    listening = bind(host, port) if fd is None else socket.socket(fileno=fd)
    address, bound = listening.getsockname()[:2]
    scheme = "http" if tls_cert is None else "https"
    url = f"{scheme}://[{address}]:{bound}" if ":" in address else f"{scheme}://{address}:{bound}"

    def ready() -> None:
        say(f"headway: server ready: {app}, {url}")
        if as_json:
            announce({"event": "ready", "pid": os.getpid(), "url": url})

    if fd is not None:
        _end_with_parent()
    with listening:
        return run(made, place, listening, ready)


def _end_with_parent() -> None:
    """Ask this process to end once its parent has, however that ended."""
    import signal
    import threading
    import time

    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="headway-parent", daemon=True).start()
