"""Tables, and the line of progress."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.streams import emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.census import Census, Reason
    from headway.migrate.progress import Progress
    from headway.migrate.repeatables import Line

_BAR: Final = 24  # characters


class ProgressLine:
    """A line on a terminal, written over again and again; nothing elsewhere."""

    def __init__(self, *, wanted: bool = True) -> None:
        """`wanted` false: nothing is shown."""
        self._live = wanted and sys.stderr.isatty()

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        if not self._live:
            return
        share = progress.done / progress.total if progress.total else 0.0
        bar = "#" * round(share * _BAR)
        left = "" if progress.left_s is None else f", {_duration(progress.left_s)} left"
        text = f"[{bar:<{_BAR}}] {progress.done:,} of {progress.total:,}, {progress.rate:,.0f}/s{left}"
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    def end(self) -> None:
        """Clear the line."""
        if self._live:
            click.echo("\r\x1b[K", nl=False, err=True)


def print_census(census: Census, *, moved: str) -> None:
    """Print the rows, and why jobs are refused or left, with examples; `moved` heads that column."""
    from headway.cli.output import Column, print_table
    from headway.migrate.report import instant

    columns = [
        Column("queue"),
        Column("state"),
        Column("found", right=True),
        Column(moved, right=True),
        Column("left", right=True),
        Column("refused", right=True, colour=_red),
        Column("gone", right=True, optional=True),
        Column("to", optional=True),
        Column("oldest", optional=True),
        Column("due from", optional=True),
        Column("due until", optional=True),
    ]
    rows = [
        [
            row.queue,
            row.state.value,
            str(row.found),
            str(row.moved),
            str(row.left),
            str(row.refused),
            str(row.gone or ""),
            ", ".join(f"{name} {count}" for name, count in row.carriers.items()),
            instant(row.oldest_ms),
            instant(row.first_due_ms),
            instant(row.last_due_ms),
        ]
        for row in census.rows
    ]
    print_table(columns, rows, empty="no jobs")
    for row in census.rows:
        _print_reasons(f"refused, {row.queue} {row.state.value}", row.why_refused)
    for row in census.rows:
        _print_reasons(f"left, {row.queue} {row.state.value}", row.why_left)


def _print_reasons(what: str, reasons: Mapping[str, Reason]) -> None:
    from headway.cli.output import printable

    for why, one in reasons.items():
        some = ", ".join(f"{source_id} ({name})" if name else source_id for source_id, name in one.examples)
        if why:
            emit(printable(f"{what}: {one.count}: {why}; such as {some}"))


def print_names(census: Census) -> None:
    """Print how many jobs there are of each name: what a map has to speak of."""
    from headway.cli.output import Column, print_table

    rows = [
        [row.queue, row.state.value, name or "(not readable)", str(count)]
        for row in census.rows
        for name, count in sorted(row.names.items(), key=lambda one: -one[1])
    ]
    if rows:
        emit("")
        print_table(
            [Column("queue"), Column("state"), Column("name"), Column("jobs", right=True)], rows, empty=""
        )


def print_lines(lines: Sequence[Line]) -> None:
    """Print what becomes of repeating entries; nothing where there are none."""
    from headway.cli.output import Column, print_table
    from headway.migrate.report import instant

    if not lines:
        return
    emit("")
    columns = ("repeating", "name", "outcome", "schedule", "next", "why")
    rows = [
        [f"{one.queue}: {one.source_id}", one.name, one.outcome, one.schedule, instant(one.next_ms), one.why]
        for one in lines
    ]
    print_table([Column(name, optional=name in {"schedule", "why"}) for name in columns], rows, empty="")


def write_report(path: str | None, title: str, fields: Mapping[str, Any]) -> None:
    """Write the report: JSON where the name ends so, else Markdown."""
    if path is None:
        return
    from pathlib import Path

    from headway.cli.output import json_text
    from headway.migrate.report import markdown

    text = f"{json_text(fields)}\n" if path.endswith(".json") else markdown(title, fields)
    Path(path).write_text(text, encoding="utf-8")


def _red(cell: str) -> str | None:
    return "red" if cell != "0" else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
