"""The command line: `python -m bench run | report | compare`; see bench/README.md."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.environments import HOME
from bench.roster import ROSTER, find_peers
from bench.run import run
from bench.tests import TESTS, find_tests

if TYPE_CHECKING:
    from types import FrameType


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    running = commands.add_parser("run", help="measure")
    running.add_argument("--peers", help=f"of {','.join(peer.name for peer in ROSTER)}")
    running.add_argument("--tests", help=f"of {','.join(test.name for test in TESTS)}")
    running.add_argument("--rounds", type=int, default=3)
    running.add_argument("--jobs", type=int, help="jobs of each drain; by default what a peer drains in some seconds")
    running.add_argument("--out", type=Path, default=HOME / "results.json")
    running.add_argument("--quick", action="store_true", help="a quarter of the jobs and one round, to try it out")
    return parser


def _end(number: int, _: FrameType | None) -> None:
    # As an exception, so that every scene on the stack ends what it started.
    raise SystemExit(128 + number)


def main() -> int:
    """Run the command; 1 when a check or a comparison failed, 2 for wrong input."""
    signal.signal(signal.SIGTERM, _end)
    parser = _parser()
    given = parser.parse_args()
    match given.command:
        case "run":
            try:
                peers, tests = find_peers(given.peers), find_tests(given.tests)
            except ValueError as error:
                parser.error(str(error))
            rounds = 1 if given.quick else given.rounds
            results = run(peers, tests, rounds=rounds, jobs=given.jobs, quick=given.quick, out=given.out)
            print(f"{results.checked:,} jobs checked, {results.seconds:,.0f} s: {given.out}")
            return 1 if results.failed else 0
        case _:
            parser.error("give a command")


if __name__ == "__main__":
    sys.exit(main())
