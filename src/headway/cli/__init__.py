"""The command line: `headway`. What a command needs beyond click is imported when it runs: `--help` is quick."""

from __future__ import annotations

from headway.cli.root import cli
from headway.cli.streams import open_streams


def main() -> None:
    """Run the command line; `failures.py` has the rule of its exit codes."""
    open_streams()
    cli(prog_name="headway")
