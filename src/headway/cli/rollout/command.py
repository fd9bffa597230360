"""The group."""

from __future__ import annotations

import click

from headway.cli.options import examples
from headway.cli.rollout.ask import abort, pause, promote, resume
from headway.cli.rollout.begin import start
from headway.cli.rollout.run import run
from headway.cli.rollout.show import history, status


@click.group(
    epilog=examples(
        "headway rollout start reports --to push --max-error-rate 1% --max-p95 5s --app shop.jobs:app",
        "headway rollout status reports --app shop.jobs:app",
        "headway rollout pause reports --reason 'a deploy' --app shop.jobs:app",
        "headway rollout abort reports --app shop.jobs:app",
    )
)
def rollout() -> None:
    """Move a queue to another carrier step by step, under limits; back at once when one is broken.

    Any worker or receiver of the app does the next step, or `headway rollout run` where there is none.
    """


for command in (start, status, pause, resume, promote, abort, history, run):
    rollout.add_command(command)
