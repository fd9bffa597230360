"""The command line: `headway`. What a command needs beyond click is imported when it runs: `--help` is quick."""

from __future__ import annotations

from headway.cli.root import cli


def main() -> None:
    """Run the command line; the exit code is 0, 1 (a failure) or 2 (wrong input)."""
    cli(prog_name="headway")
