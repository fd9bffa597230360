"""The command `headway` itself: its groups, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from headway.cli.demo import demo
from headway.cli.doctor import doctor
from headway.cli.emulator import emulator
from headway.cli.enqueue import enqueue
from headway.cli.failures import EXIT_INTERRUPTED, explain
from headway.cli.gcp import gcp
from headway.cli.jobs import jobs
from headway.cli.options import examples
from headway.cli.push import push
from headway.cli.queues import queues
from headway.cli.schedules import schedules
from headway.cli.stored import offload
from headway.cli.worker import dev, worker

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
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader (head, less) has seen enough; a second complaint at exit would be noise.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            if isinstance(error, click.Abort) and isinstance(error.__cause__, KeyboardInterrupt):
                sys.exit(
                    EXIT_INTERRUPTED
                )  # click turns Ctrl-C into the answer "no" to a question that nobody asked
            known = explain(error)
            if known is None:
                raise
            if isinstance(error, click.Abort):
                click.echo(err=True)  # ends the line of the question
            click.echo(f"headway: {known.message}", err=True)
            sys.exit(known.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


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

    Exit codes: 0 all well, 1 a failure (the carrier, a job), 2 wrong input.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


for command in (worker, push, dev, enqueue, jobs, queues, schedules, offload, emulator, gcp, doctor, demo):
    cli.add_command(command)
