"""The command line: `python -m bench run | report | compare | against | all`; see bench/README.md."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.against import both_sides, pairs_of, table
from bench.compare import compare, describe, lost_metrics
from bench.environments import HOME, ROOT
from bench.report import plots, report
from bench.results import read_results
from bench.roster import ROSTER, find_peers
from bench.run import run
from bench.tests import TESTS, find_tests

if TYPE_CHECKING:
    from types import FrameType


_MINUTES: Final = 28.0  # of `make bench`; on a slower machine the last rounds are left out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    running = commands.add_parser("run", help="measure")
    running.add_argument("--peers", help=f"of {','.join(peer.name for peer in ROSTER)}")
    running.add_argument("--tests", help=f"of {','.join(test.name for test in TESTS)}")
    running.add_argument("--rounds", type=int, default=3)
    running.add_argument(
        "--jobs", type=int, help="jobs of each drain; by default what a peer drains in some seconds"
    )
    running.add_argument("--out", type=Path, default=HOME / "results.json")
    running.add_argument(
        "--quick", action="store_true", help="a quarter of the jobs and one round, to try it out"
    )
    reporting = commands.add_parser("report", help="write the Markdown, and the plots to a folder")
    reporting.add_argument("results", type=Path)
    reporting.add_argument("--plots", type=Path, default=ROOT / "docs" / "reference" / "performance")
    comparing = commands.add_parser(
        "compare", help="exit 1 when Headway lost more than 15 % against a reference peer"
    )
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    other = commands.add_parser(
        "against", help="measure this tree and another revision of it side by side; exit 1 when it is slower"
    )
    other.add_argument("revision", help="as git names it")
    other.add_argument("--tests", default="drain,enqueue,pickup", help="of those of `run`")
    other.add_argument("--rounds", type=int, default=5)
    other.add_argument("--tolerance", type=float, default=0.03, help="a share; 0.03 by default")
    other.add_argument("--out", type=Path, default=HOME / "against.json")
    everything = commands.add_parser("all", help="run everything and write docs/reference/performance.md")
    everything.add_argument("--out", type=Path, default=HOME / "results.json")
    return parser


def _run(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    try:
        peers, tests = find_peers(given.peers), find_tests(given.tests)
    except ValueError as error:
        parser.error(str(error))
    rounds = 1 if given.quick else given.rounds
    results = run(peers, tests, rounds=rounds, jobs=given.jobs, quick=given.quick, out=given.out)
    print(f"{results.checked:,} jobs checked, {results.seconds:,.0f} s: {given.out}")
    return 1 if results.failed else 0


def _report(file: Path, folder: Path) -> str:
    results = read_results(file)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.svg"):
        stale.unlink()
    for name, text in plots(results).items():
        (folder / name).write_text(text, encoding="utf-8")
    return report(results)


def _compare(old_file: Path, new_file: Path) -> int:
    old, new = read_results(old_file), read_results(new_file)
    changes = compare(old, new)
    missing = lost_metrics(old, new)
    print(describe(changes))
    for name in missing:
        print(f"GONE  {name}: the old run has it, the new one has not")
    if not changes:
        print("nothing can be compared: the runs share no figure of Headway and a reference peer")
    return 1 if missing or not changes or any(change.lost for change in changes) else 0


def _against(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    try:
        tests = find_tests(given.tests)
        peers = both_sides(given.revision)
    except ValueError as error:
        parser.error(str(error))
    results = run(peers, tests, rounds=given.rounds, jobs=None, quick=False, out=given.out)
    pairs = pairs_of(results)
    print(table(pairs, given.revision))
    print(f"{results.checked:,} jobs checked, {results.seconds:,.0f} s: {given.out}")
    return 1 if results.failed or not pairs or any(pair.slower(given.tolerance) for pair in pairs) else 0


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
            return _run(parser, given)
        case "report":
            sys.stdout.write(_report(given.results, given.plots))
            return 0
        case "compare":
            return _compare(given.old, given.new)
        case "against":
            return _against(parser, given)
        case "all":
            results = run(ROSTER, TESTS, rounds=3, jobs=None, quick=False, out=given.out, minutes=_MINUTES)
            folder = ROOT / "docs" / "reference"
            text = _report(given.out, folder / "performance")
            (folder / "performance.md").write_text(text, encoding="utf-8")
            print(
                f"{results.checked:,} jobs checked, {results.seconds / 60:.0f} minutes: docs/reference/performance.md"
            )
            return 1 if results.failed else 0
        case _:
            parser.print_help()
            return 2


if __name__ == "__main__":
    sys.exit(main())
