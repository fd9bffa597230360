"""What commands print: tables that fit the terminal, JSON, and texts that cannot play tricks on it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from headway.cli.failures import StdoutError
from headway.cli.streams import abandon_stdout, emit, finish_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

_GAP: Final = "  "
_NARROWEST: Final = 8  # characters to which a column may be cut


class Column(NamedTuple):
    """A column of a table.

    `whole`: never cut. `optional`: left out where all its cells are empty. `least`: to how many characters it is cut at
    first; only when no other is wider than its own least, further. `colour`: click's name of a cell's colour.
    """

    title: str
    right: bool = False
    whole: bool = False
    optional: bool = False
    least: int = 0
    colour: Callable[[str], str | None] | None = None


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int | None = None) -> list[str]:
    """Return the lines of a table, its head first.

    With a `width` the widest columns are cut until each line fits, as far as they can be.
    """
    shown = [n for n, column in enumerate(columns) if not column.optional or any(row[n] for row in rows)]
    columns = [columns[n] for n in shown]
    cells = [[printable(row[n]) for n in shown] for row in rows]
    widths = [max([len(column.title), *(len(row[n]) for row in cells)]) for n, column in enumerate(columns)]
    if width is not None:
        _narrow(columns, widths, width - len(_GAP) * (len(widths) - 1))
    lines = [_line(columns, [column.title.upper() for column in columns], widths, head=True)]
    lines += [_line(columns, row, widths) for row in cells]
    return lines


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a table to stdout, or the text `empty`, without colour, when it has no rows."""
    if not rows:
        emit(empty)
        return
    for line in table(columns, rows, width=terminal_width()):
        emit(line)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names with their values, one a line; further lines of a value are indented."""
    widest = max(len(name) for name, _ in fields)
    for name, value in fields:
        first, *further = [printable(line) for line in value.splitlines()] or [""]
        emit(f"{click.style(f'{name:<{widest}}', bold=True)}{_GAP}{first}")
        for line in further:
            emit(f"{'':<{widest}}{_GAP}{line}")


def print_json(document: Any) -> None:  # noqa: ANN401 - any plain value
    """Print one JSON document, indented."""
    import msgspec

    emit(_escaped(msgspec.json.format(json_text(document), indent=2)))


def print_json_line(document: Any) -> None:  # noqa: ANN401 - any plain value
    """Print one JSON document on a line, at once."""
    emit(_escaped(json_text(document)))
    finish_stdout()


def announce(event: dict[str, Any]) -> None:
    """Print what a service has to tell, as JSON on a line of stdout; that nobody reads it does not end the service."""
    try:
        print_json_line(event)
    except StdoutError:
        abandon_stdout()


def json_text(document: Any) -> str:  # noqa: ANN401 - any plain value
    """Return the JSON of plain values, whatever numbers and texts a damaged record holds."""
    import msgspec

    try:
        return msgspec.json.encode(document).decode()
    except (OverflowError, UnicodeEncodeError):  # an integer beyond 64 bits, half of a surrogate pair
        import json

        return json.dumps(document)


def _escaped(text: str) -> str:
    """Return JSON with escapes for what the terminal's encoding has not; then all but ASCII is escaped."""
    if text.isascii():
        return text
    import json

    return fitting(sys.stdout, text, "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text))


def fitting(stream: TextIO, text: str, plainer: str) -> str:
    """Return the text where the stream's encoding has it, else the plainer one."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return plainer
    return text


def terminal_width() -> int | None:
    """Return the terminal's width; None when stdout is none and nobody set COLUMNS: then nothing is cut."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        return None
    return shutil.get_terminal_size().columns


def printable(text: str) -> str:
    """Return the text with what moves the cursor or changes colours made visible: jobs may hold anything."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def state_colour(state: str) -> str | None:
    """Return the colour of a job's state."""
    return {
        "failed": "red",
        "succeeded": "green",
        "running": "cyan",
        "expired": "yellow",
        "cancelled": "yellow",
    }.get(state)


def alarming(cell: str) -> str:
    """Return the colour of a number that should be 0."""
    return "green" if cell == "0" else "red"


def yellow(cell: str) -> str | None:
    """Return yellow for what is not empty."""
    return "yellow" if cell else None


def _narrow(columns: Sequence[Column], widths: list[int], room: int) -> None:
    """Cut the widest columns one character at a time until they fit; those that are whole stay."""
    while sum(widths) > room:
        width, widest = max(
            (width if width > column.least else min(width, _NARROWEST), n)
            for n, (width, column) in enumerate(zip(widths, columns, strict=True))
            if not column.whole
        )
        if width <= _NARROWEST:
            if not any(column.least for column in columns):
                return
            columns = [column._replace(least=0) for column in columns]  # none is spared now
            continue
        widths[widest] -= 1


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], *, head: bool = False) -> str:
    shown: list[str] = []
    mark = fitting(sys.stdout, "\N{HORIZONTAL ELLIPSIS}", "~")  # of what was cut
    for n, (column, cell, width) in enumerate(zip(columns, row, widths, strict=True)):
        cut = cell if len(cell) <= width else f"{cell[: width - 1]}{mark}"
        last = n == len(widths) - 1
        padded = cut.rjust(width) if column.right else cut if last else cut.ljust(width)
        if head:
            padded = click.style(padded, bold=True)
        elif column.colour is not None and (colour := column.colour(cell)):
            padded = click.style(padded, fg=colour)
        shown.append(padded)
    return _GAP.join(shown).rstrip()
