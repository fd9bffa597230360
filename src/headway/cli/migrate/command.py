"""The group."""

from __future__ import annotations

import click

from headway.cli.migrate.code import code
from headway.cli.migrate.look import inspect, plan, verify
from headway.cli.migrate.move import apply, forward, revert
from headway.cli.migrate.status import status
from headway.cli.options import examples


@click.group(
    epilog=examples(
        "headway migrate inspect --from arq --source redis://localhost:6379/0 --allow-pickle",
        "headway migrate plan --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app",
        "headway migrate apply --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app",
        "headway migrate verify --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app",
        "headway migrate status --app shop.jobs:app",
        "headway migrate code --from arq .",
    )
)
def migrate() -> None:
    """Bring jobs along from BullMQ, Bull or arq, while both systems run, and back; and code.

    Each job leaves its queue in the same step that writes it into a ledger beside it, in the Redis of the source. So no
    worker of either side runs it twice, and whatever is interrupted goes on with the same command.
    """


for command in (inspect, plan, apply, forward, verify, revert, status, code):
    migrate.add_command(command)
