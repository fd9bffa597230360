"""`headway dev`: what one needs while writing an app: a worker and the dashboard, started anew with each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.carriers import carriers_option
from headway.cli.given_app import takes_app
from headway.cli.options import DURATION, NAMES, examples, json_option, log_options

if TYPE_CHECKING:
    from collections.abc import Callable

_PORT: Final = 8000


@click.command(
    epilog=examples(
        "headway dev shop.jobs:app",
        "headway dev shop.jobs:app --port 9000",
        "headway dev shop.jobs:app --queues email --concurrency 1 --no-dashboard",
    )
)
@takes_app
@click.option("--queues", type=NAMES, help="Serve these queues only.  [default: all of the app's tasks]")
@carriers_option(pull=True)
@click.option("--concurrency", type=click.IntRange(1), help="Jobs at once.  [default: 20]")
@click.option(
    "--grace", type=DURATION, default="2s", show_default=True, help="What a running job has to finish."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Of the dashboard.  [default: 8000, or a free one if it is taken]",
)
@click.option("--no-dashboard", is_flag=True, help="The worker alone.")
@log_options
@json_option("when it is ready and when it has ended, one line each,")
def dev(app: str, /, *, port: int | None, no_dashboard: bool, **given: Any) -> int:  # noqa: ANN401 - passed on
    """Run the jobs of APP in one process and serve its dashboard; both start anew when a source file changes."""
    from headway.cli.watch import ChangedFiles
    from headway.cli.worker import serve

    changed = ChangedFiles()

    def run(watch: Callable[[list[str]], list[str]]) -> int:
        return serve(
            app,
            watch=watch,
            processes=1,
            lease=None,
            max_jobs=None,
            max_memory_mb=None,
            metrics_port=None,
            metrics_host="",
            **given,
        )

    if no_dashboard or not _can_serve():
        return run(changed)
    from headway.cli.beside import ServerBeside

    with ServerBeside(app, port, _PORT) as beside:

        def watch(files: list[str]) -> list[str]:
            if found := changed(files):
                beside.restart()
            return found

        return run(watch)


def _can_serve() -> bool:
    """Tell whether there can be a dashboard here; say what it needs where there cannot."""
    import sys
    from importlib.util import find_spec

    from headway.cli.streams import say

    if sys.platform == "win32":
        say("headway: no dashboard: on Windows, start it beside: headway server APP")
        return False
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "sqlalchemy", "jinja2")):
        say("headway: no dashboard: pip install 'headway[server]' brings it")
        return False
    return True
