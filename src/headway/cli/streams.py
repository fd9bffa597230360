"""stdin, stdout and stderr as a command finds them: closed, full, of another encoding, with nobody at the other end."""

from __future__ import annotations

import contextlib
import os
import sys
from io import TextIOWrapper
from typing import Final

import click

from headway.cli.failures import CommandFailed, StdoutError

_NAMES: Final = ("stdin", "stdout", "stderr")


def open_streams() -> None:
    """Make the three usable: a closed one reads and writes nothing, and no text is too odd to be printed.

    A closed descriptor would otherwise be given to the next file or socket, which then gets what is printed.
    """
    for descriptor, name in enumerate(_NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - the parameter has no name
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the whole run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Say something beside the results, on stderr; whether anybody hears it makes no difference to the command."""
    from headway.runtime.stderr import write_stderr

    write_stderr(f"{text}\n")


def emit(text: str) -> None:
    """Print a result on stdout; StdoutError when it cannot be written."""
    try:
        click.echo(text)
    except OSError as error:
        raise StdoutError(error) from error


def finish_stdout() -> None:
    """Write what is still buffered; StdoutError when it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise StdoutError(error) from error


def abandon_stdout() -> None:
    """Have what is still buffered go nowhere: it would fail a second time when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def ask(question: str, *, yes: bool) -> None:
    """Have a person agree, unless `--yes` was given; raise when nobody does."""
    if yes:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise
        say("")  # ends the line of the question
        agreed = False
    if not agreed:
        msg = "not confirmed, so nothing was changed; --yes goes without asking"
        raise CommandFailed(msg)
