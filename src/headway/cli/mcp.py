"""`headway mcp`: the API as tools for assistants."""

from __future__ import annotations

from importlib.util import find_spec

import click

from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.errors import ConfigError


@click.command(
    epilog=examples(
        "headway mcp --server http://127.0.0.1:8000",
        "headway mcp --server https://jobs.example.com --allow-writes",
        "headway mcp --list --json",
    )
)
@click.option(
    "--server",
    "url",
    default="http://127.0.0.1:8000",
    show_default=True,
    envvar="HEADWAY_SERVER",
    show_envvar=True,
    help="URL of the server.",
)
@click.option("--allow-writes", is_flag=True, help="Also tools that create jobs and act on jobs and queues.")
@click.option("--list", "only_list", is_flag=True, help="List the tools and end.")
@json_option("with --list, the tools")
def mcp(*, url: str, allow_writes: bool, only_list: bool, as_json: bool) -> None:
    """Offer the API of a server as tools for assistants, by the Model Context Protocol, on stdin and stdout.

    The key is taken from HEADWAY_KEY. Only tools that look are offered, unless writes are allowed; what a key may do
    is the server's to say in any case.
    """
    import os

    if find_spec("mcp") is None or find_spec("httpx") is None:
        msg = "this needs more packages: pip install 'headway[mcp]'"
        raise ConfigError(msg)
    from headway.client import Client
    from headway.mcp.tools import tools

    key = os.environ.get("HEADWAY_KEY") or None
    if only_list:
        from headway.cli.output import print_json

        offered = tools(Client(url, key), allow_writes=allow_writes)
        found = {name: (one.__doc__ or "").partition("\n")[0] for name, one in offered.items()}
        if as_json:
            print_json({"tools": found})
        else:
            for name, said in found.items():
                emit(f"{name}: {said}")
        return
    from headway.mcp.serve import run

    run(url, key, allow_writes=allow_writes)
