"""APP of the commands that need an app's code: an argument, `--app`, or HEADWAY_APP."""

from __future__ import annotations

import os
import re
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_NAME: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_PATH: Final = re.compile(f"{_NAME}:{_NAME}")

_app_option: Final = click.option(
    "--app", "option", metavar="MODULE:NAME", help="In place of the argument APP.  [env: HEADWAY_APP]"
)

_app_alone: Final = click.option(
    "--app", "option", metavar="MODULE:NAME", help="The app that is meant, imported.  [env: HEADWAY_APP]"
)


def takes_app(function: Callable[Concatenate[str, P], R]) -> Callable[..., R]:
    """Add `[APP]` and `--app`, given to the command as its first argument."""

    @click.argument("argument", metavar="[APP]", required=False)
    @_app_option
    @wraps(function)
    def command(
        *args: Any,  # noqa: ANN401 - the command's own
        argument: str | None,
        option: str | None,
        **kwargs: Any,  # noqa: ANN401 - the command's own
    ) -> R:
        return function(_chosen(argument, option), *args, **kwargs)

    return command


def takes_app_option(function: Callable[Concatenate[str, P], R]) -> Callable[..., R]:
    """Add `--app` alone, given to the command as its first argument: for commands with arguments of their own."""

    @_app_alone
    @wraps(function)
    def command(
        *args: Any,  # noqa: ANN401 - the command's own
        option: str | None,
        **kwargs: Any,  # noqa: ANN401 - the command's own
    ) -> R:
        return function(_chosen(None, option), *args, **kwargs)

    return command


def takes_app_and_words(
    metavar: str,
) -> Callable[[Callable[Concatenate[str, tuple[str, ...], P], R]], Callable[..., R]]:
    """Add `[APP]`, further arguments and `--app`: the first word is the app where it has the form module:name."""

    def decorate(function: Callable[Concatenate[str, tuple[str, ...], P], R]) -> Callable[..., R]:
        @click.argument("words", nargs=-1, metavar=f"[APP] {metavar}")
        @_app_option
        @wraps(function)
        def command(
            *args: Any,  # noqa: ANN401 - the command's own
            words: tuple[str, ...],
            option: str | None,
            **kwargs: Any,  # noqa: ANN401 - the command's own
        ) -> R:
            argument = None
            if option is None and words and _PATH.fullmatch(words[0]):
                argument, *rest = words
                words = tuple(rest)
            return function(_chosen(argument, option), words, *args, **kwargs)

        return command

    return decorate


def _chosen(argument: str | None, option: str | None) -> str:
    if argument is not None and option is not None:
        msg = f"the app is given twice: {argument!r} and --app {option!r}"
        raise click.UsageError(msg)
    path = argument or option or os.environ.get("HEADWAY_APP")
    if not path:
        msg = "which app? Write it as module:name, such as shop.jobs:app, or set HEADWAY_APP"
        raise click.UsageError(msg)
    return path
