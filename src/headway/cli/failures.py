"""From an error to its line on stderr and its exit code."""

from __future__ import annotations

from typing import Final, NamedTuple

import click

from headway.errors import ConfigError, DeclarationError, EnqueueError, HeadwayError

EXIT_FAILURE: Final = 1  # the carrier failed, a job failed, nothing was found
EXIT_INPUT: Final = 2  # what was typed or configured is wrong: the same again will not help
EXIT_INTERRUPTED: Final = 130  # by Ctrl-C, as shells count


class Explained(NamedTuple):
    """One line for people, and the exit code."""

    exit_code: int
    message: str


class CommandFailed(click.ClickException):
    """A command did what it could and failed: exit code 1."""


def explain(error: Exception) -> Explained | None:
    """Return what to say of an error; None for one that is a defect and deserves its traceback."""
    match error:
        case click.UsageError():
            where = f" (see '{error.ctx.command_path} --help')" if error.ctx is not None else ""
            return Explained(EXIT_INPUT, one_line(error.format_message()) + where)
        case click.Abort():
            return Explained(EXIT_FAILURE, "not confirmed, so nothing was changed; --yes goes without asking")
        case click.ClickException():
            return Explained(error.exit_code, one_line(error.format_message()))
        case ConfigError() | DeclarationError() | EnqueueError():
            return Explained(EXIT_INPUT, one_line(str(error)))
        case HeadwayError():
            return Explained(EXIT_FAILURE, one_line(str(error)))
        case _:
            return None


def one_line(text: str) -> str:
    """Return the text with its line breaks as spaces, and without control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
