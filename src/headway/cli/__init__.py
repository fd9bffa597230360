"""The command line: `headway`. What a command needs beyond click is imported when it runs: `--help` is quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.cli.root import cli
from headway.cli.streams import open_streams

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line, with these words or those of the process; `failures.py` has the rule of its exit codes."""
    open_streams()
    cli(args, prog_name="headway")
