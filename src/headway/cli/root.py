"""The command `headway` itself: its groups, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from headway.cli.db import db
from headway.cli.demo import demo
from headway.cli.dev import dev
from headway.cli.doctor import doctor
from headway.cli.emulator import emulator
from headway.cli.enqueue import enqueue
from headway.cli.failures import EXIT_FAILURE, EXIT_INTERRUPTED, StdoutError, explain
from headway.cli.gcp import gcp
from headway.cli.jobs import jobs
from headway.cli.keys import keys
from headway.cli.mcp import mcp
from headway.cli.migrate import migrate
from headway.cli.options import examples
from headway.cli.push import push
from headway.cli.queues import queues
from headway.cli.recorder import recorder
from headway.cli.rollout import rollout
from headway.cli.routes import routes
from headway.cli.schedules import schedules
from headway.cli.server import server
from headway.cli.spool import spool
from headway.cli.stats import stats
from headway.cli.stored import offload
from headway.cli.streams import abandon_stdout, finish_stdout, say
from headway.cli.top import top
from headway.cli.worker import worker
from headway.cli.workers import workers

if TYPE_CHECKING:
    from collections.abc import Sequence


class RootGroup(click.Group):
    """A group that says an error in one line and gives it an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> Any:  # noqa: ANN401 - click's signature
        """Run; with `standalone_mode` exit with the command's code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code: Any = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            # What is still buffered must fail here, where it is understood, not at the end of the interpreter.
            finish_stdout()
        except click.exceptions.NoArgsIsHelpError as error:
            # A group that was called alone: it is asked what there is.
            sys.exit(self.main([*(error.ctx.command_path.split()[1:]), "--help"], prog_name))
        except Exception as error:  # noqa: BLE001 - raised again unless it is understood
            sys.exit(_report(error))
        sys.exit(code if isinstance(code, int) else 0)


def _report(problem: Exception) -> int:
    """Say in one line what went wrong and return the exit code; raise what is a defect."""
    if isinstance(problem, click.Abort):
        # click turns Ctrl-C into the answer "no" to a question that nobody asked.
        return EXIT_INTERRUPTED
    if isinstance(problem, OSError | StdoutError):
        abandon_stdout()
    cause = problem.__cause__ if isinstance(problem, StdoutError) else problem
    if isinstance(cause, BrokenPipeError):
        return EXIT_FAILURE  # a reader such as head or less has seen enough
    known = explain(problem)
    if known is None:
        raise problem
    say(f"headway: {known.message}")
    return known.exit_code


@click.group(
    cls=RootGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "headway demo",
        "headway worker shop.jobs:app --processes 4",
        "headway enqueue shop.jobs:app welcome 42",
        "headway jobs list --app shop.jobs:app --state failed",
        "headway doctor --url redis://localhost:6379/0",
    ),
)
@click.version_option(package_name="headway", message="headway %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Background jobs: run workers, enqueue, look at jobs and queues, and check what carries them.

    Exit codes: 0 done; 1 not done, or not for all: a carrier or a job failed, or what was named is not there; 2 wrong
    input; 130 ended by Ctrl-C.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


for command in (
    worker,
    push,
    dev,
    enqueue,
    jobs,
    queues,
    routes,
    stats,
    rollout,
    migrate,
    spool,
    schedules,
    workers,
    top,
    offload,
    server,
    recorder,
    db,
    keys,
    mcp,
    emulator,
    gcp,
    doctor,
    demo,
):
    cli.add_command(command)
