"""The group `headway migrate`."""

from __future__ import annotations

import click

from headway.cli.migrate.code import code
from headway.cli.options import examples


@click.group(
    epilog=examples("headway migrate code --from arq .", "headway migrate code --from arq . --write")
)
def migrate() -> None:
    """Bring code and jobs along from arq, BullMQ and Bull."""


for _command in (code,):
    migrate.add_command(_command)
