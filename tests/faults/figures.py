"""What the run says at its end: the figures that the fault tests measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FIGURE = "figure"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    rows = [
        (report.nodeid.rpartition("::")[2], value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in report.user_properties
        if name == FIGURE
    ]
    if rows:
        terminalreporter.section("faults: figures")
        for case, value in sorted(rows):
            terminalreporter.write_line(f"{case}: {value}")
