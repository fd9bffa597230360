"""`--carriers` of the commands that serve some of an app's carriers: the option, and what a shell offers for it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from headway.cli.options import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable


def carriers_option(*, pull: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--carriers`: names of carriers with workers, or of those that push (`pull` false)."""
    kind = "with workers" if pull else "that push"

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        before, comma, _last = incomplete.rpartition(",")
        named = before.split(",")
        names = [name for name, pulls in _known(ctx).items() if pulls == pull and name not in named]
        return [text for name in names if (text := f"{before}{comma}{name}").startswith(incomplete)]

    return click.option(
        "--carriers",
        type=NAMES,
        shell_complete=complete,
        help=f"Serve these carriers of the app only.  [default: all {kind}]",
    )


def _known(ctx: click.Context) -> dict[str, bool]:
    """Return the carriers of the app that is named so far, or else of the settings; none when these cannot be read."""
    from headway.app.opening import pulls_of
    from headway.cli.target import import_app
    from headway.config import load_settings

    # An argument before an option that has no value yet stands among those that were not understood.
    given = (ctx.params.get("option"), ctx.params.get("argument"), *ctx.args, os.environ.get("HEADWAY_APP"))
    path = next((one for one in given if one), None)
    with suppress(Exception):
        return dict(import_app(path).pulls) if path else pulls_of(load_settings({}))
    return {}
