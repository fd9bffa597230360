"""What the run says at its end: how many cases each carrier passed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

THROWN = "thrown"
"""The property with the number of exceptions that were thrown at the places of a carrier's jobs."""

_OUTCOMES = ("passed", "failed", "error", "skipped")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of conformance cases by carrier and outcome."""
    rows: dict[str, Counter[str]] = {}
    for outcome in _OUTCOMES:
        for report in terminalreporter.stats.get(outcome, []):
            if "tests/conformance/" not in report.nodeid:
                continue
            for name, value in report.user_properties:
                if name == "carrier":
                    rows.setdefault(value, Counter())[outcome] += 1
    if not rows:
        return
    terminalreporter.section("conformance: cases by carrier")
    for carrier, counts in sorted(rows.items()):
        told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome])
        terminalreporter.write_line(f"{carrier:<14} {told}")
    thrown = [
        (properties["carrier"], properties[THROWN])
        for report in terminalreporter.stats.get("passed", [])
        if THROWN in (properties := dict(report.user_properties))
    ]
    for carrier, number in sorted(thrown):
        terminalreporter.write_line(f"{carrier:<14} {number} exceptions thrown at the places of a job")
