"""From an error to its line on stderr and its exit code."""

from __future__ import annotations

from typing import Final, NamedTuple

import click

from headway.errors import ConfigError, DeclarationError, EnqueueError, HeadwayError, UnknownTaskError
from headway.schedules.cron import ScheduleError

# The one rule of all commands; docs/reference/cli.md says it to people.
EXIT_FAILURE: Final = (
    1  # not done, or not for all: the carrier failed, a job failed, what was named is not there
)
EXIT_INPUT: Final = 2  # what was typed or configured cannot be meant: the same again will never help
EXIT_PENDING: Final = 3  # `gcp plan`: something is to be done
EXIT_INTERRUPTED: Final = 130  # by Ctrl-C, as shells count
_SHOWN: Final = 100  # characters
_INPUT_ERRORS: Final = (ConfigError, DeclarationError, EnqueueError, ScheduleError)


class Explained(NamedTuple):
    """One line for people, and the exit code."""

    exit_code: int
    message: str


class StdoutError(click.ClickException):
    """A result could not be written: exit code 1."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"stdout cannot be written: {error.strerror or error}")


class CommandFailed(click.ClickException):
    """A command did what it could and failed: exit code 1."""


def explain(error: Exception) -> Explained | None:
    """Return what to say of an error; None for one that is a defect and deserves its traceback."""
    match error:
        case click.UsageError():
            where = f" (see '{error.ctx.command_path} --help')" if error.ctx is not None else ""
            return Explained(EXIT_INPUT, one_line(error.format_message()) + where)
        case click.ClickException():
            return Explained(error.exit_code, one_line(error.format_message()))
        case HeadwayError():
            wrong = isinstance(error, _INPUT_ERRORS) and not isinstance(error, UnknownTaskError)
            return Explained(EXIT_INPUT if wrong else EXIT_FAILURE, one_line(str(error)))
        case OSError():
            return Explained(EXIT_FAILURE, one_line(str(error)))
        case UnicodeEncodeError() | RecursionError():
            return Explained(EXIT_INPUT, _unwritable(error))
        case _:
            return None


def _unwritable(error: UnicodeEncodeError | RecursionError) -> str:
    """Say which value no carrier can hold."""
    if isinstance(error, RecursionError):
        return "a value is nested too deeply"
    return f"{ascii(error.object)[:_SHOWN]} is not valid UTF-8"


def one_line(text: str) -> str:
    """Return the text with its line breaks as spaces, and without control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
