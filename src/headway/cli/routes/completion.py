"""Queues and carriers for a shell that completes a command: those of the app, or of the settings without it."""

from __future__ import annotations

import contextlib
import os
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from headway.app.app import Headway
    from headway.config import Settings


def complete_queue(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the queues that begin so."""
    app, settings = _found(ctx)
    queues = {*(settings.routes if settings is not None else ()), *(app.queues if app is not None else ())}
    return sorted(name for name in queues if name.startswith(incomplete))


def complete_weight(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the carriers that begin so, each with the sign behind which its percentage is written."""
    settings = _found(ctx)[1]
    names = settings.carrier_urls if settings is not None else ()
    return [f"{name}=" for name in names if name.startswith(incomplete)]


def complete_carrier(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the carriers that begin so."""
    settings = _found(ctx)[1]
    names = settings.carrier_urls if settings is not None else ()
    return [name for name in names if name.startswith(incomplete)]


def _found(ctx: click.Context) -> tuple[Headway | None, Settings | None]:
    """Return what can be had: a shell that completes a word must see no error, and nothing that a module prints."""
    from headway.cli.target import import_app
    from headway.config import load_settings

    path = ctx.params.get("app") or os.environ.get("HEADWAY_APP")
    with (
        contextlib.suppress(Exception),
        StringIO() as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        if path:
            app = import_app(str(path))
            return app, app.settings
        return None, load_settings()
    return None, None
