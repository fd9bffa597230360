"""The group."""

from __future__ import annotations

import click

from headway.cli.options import examples
from headway.cli.routes.change import rollback, set_route
from headway.cli.routes.drain import drain
from headway.cli.routes.history import history
from headway.cli.routes.move import move
from headway.cli.routes.show import show
from headway.cli.routes.verify import verify


@click.group(
    epilog=examples(
        "headway routes show --app shop.jobs:app",
        "headway routes set reports main=75 push=25 --reason 'a quarter' --app shop.jobs:app",
        "headway routes rollback 3 --app shop.jobs:app",
        "headway routes verify --app shop.jobs:app",
        "headway routes move reports --from main --to push --app shop.jobs:app",
        "headway routes drain push --move --app shop.jobs:app",
    )
)
def routes() -> None:
    """Show, change and verify which carriers take the jobs of a queue.

    A change needs no deploy: every process that enqueues goes by it within 2 s. Jobs that wait stay where they are.
    """


for command in (show, set_route, history, rollback, drain, move, verify):
    routes.add_command(command)
