"""The group."""

from __future__ import annotations

import click

from headway.cli.options import examples
from headway.cli.schedules.act import delete, pause, resume, run
from headway.cli.schedules.make import change, create
from headway.cli.schedules.show import list_schedules


@click.group(
    epilog=examples(
        "headway schedules list --app shop.jobs:app",
        "headway schedules create tenant-7 report 7 --cron '0 3 * * *' --app shop.jobs:app",
        "headway schedules pause nightly-report --app shop.jobs:app",
    )
)
def schedules() -> None:
    """List schedules; make, change, pause and run them.

    Those in the code are changed there. The others are made at run time, by these commands or by the code
    (`app.schedules`), and every worker knows of a change within 10 s.
    """


for command in (list_schedules, create, change, delete, pause, resume, run):
    schedules.add_command(command)
