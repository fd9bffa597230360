"""What the demo shows: a bar while it runs, its account afterwards."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headway.cli.output import Column, alarming, fitting, print_fields, print_table
from headway.cli.streams import emit, say
from headway.demo.watch import Watcher
from headway.runtime.stderr import write_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headway.demo.push import PushOutcome
    from headway.demo.run import Outcome

T = TypeVar("T")

_BAR: Final = 30  # characters
_QUIET_STEPS: Final = 4  # lines instead of the bar where stderr is no terminal


class Screen(Watcher):
    """Writes to stderr: stdout is for the account."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._began = time.monotonic()
        self._shown = 0
        self._drawn: tuple[int, int] | None = None  # the counts that the bar on the screen shows

    def step(self, text: str) -> None:
        """Write a line above the bar."""
        self._wipe()
        say(f"{time.monotonic() - self._began:5.1f} s  {text}")

    def show(self, done: int, total: int) -> None:
        """Draw the bar, or write a line for each quarter."""
        share = done / total if total else 0.0
        if self._live and (done, total) != self._drawn:
            filled = round(share * _BAR)
            marks = fitting(sys.stderr, "\N{FULL BLOCK}\N{LIGHT SHADE}", "#.")
            bar = marks[0] * filled + marks[1] * (_BAR - filled)
            write_stderr(f"\r\x1b[K{bar} {done}/{total}")
            self._drawn = (done, total)
        elif not self._live and int(share * _QUIET_STEPS) > self._shown:
            self._shown = int(share * _QUIET_STEPS)
            self.step(f"{done} of {total} jobs completed")

    def close(self) -> None:
        """Remove the bar."""
        self._wipe()

    def _wipe(self) -> None:
        if self._drawn is not None:
            write_stderr("\r\x1b[K")
            self._drawn = None


def print_outcome(outcome: Outcome | PushOutcome) -> None:
    """Print the account and what the jobs found."""
    ledger, findings = outcome.ledger, outcome.findings
    emit("\nThe account, from the store:")
    print_table(
        [
            Column("accepted", right=True),
            Column("completed", right=True),
            Column("attempts", right=True),
            Column("retries", right=True),
            Column("recovered", right=True),
            Column("lost", right=True, colour=alarming),
            Column("completed twice", right=True, colour=alarming),
            Column("jobs/s", right=True),
        ],
        [
            [
                *(str(n) for n in (ledger.accepted, ledger.completed, ledger.attempts, ledger.retries)),
                *(str(n) for n in (ledger.recovered, ledger.lost, ledger.completed_twice)),
                f"{ledger.jobs_per_second:.0f}",
            ]
        ],
        empty="",
    )
    emit("\nWhat the jobs found in the standard library:")
    print_fields(
        [
            (
                "files",
                f"{findings.files:,} ({findings.unparsable} wrong on purpose), {findings.bytes / 1e6:.1f} MB",
            ),
            ("lines", f"{findings.lines:,}"),
            ("functions", f"{findings.functions:,}"),
            ("classes", f"{findings.classes:,}"),
            ("longest", "\n".join(f"{path} ({lines:,} lines)" for path, lines in findings.longest)),
            ("most imported", ", ".join(f"{module} ({count})" for module, count in findings.most_imported)),
            ("same contents", f"{findings.same_contents} files"),
            ("digest", findings.digest),
            (
                "delayed job",
                "did not run" if findings.census is None else f"counted {findings.census.folders} folders",
            ),
            ("scheduled job", f"ran {findings.samples} times, once a second"),
        ]
    )


def outcome_fields(outcome: Outcome | PushOutcome, seed: int) -> dict[str, Any]:
    """Return what `--json` prints of a demo."""
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(outcome)
    return {**fields, "seed": seed, "ok": outcome.ledger.sound}


def watched(run: Callable[[Screen], Coroutine[Any, Any, T]]) -> T:
    """Run a demo with the bar of how far it is; return its outcome."""
    screen = Screen()
    try:
        return asyncio.run(run(screen))
    finally:
        screen.close()
