"""Every command, found in the command line itself, so that a coming one is held to the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from headway.cli.root import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]


def _walk(command: click.Command, path: Path) -> Iterator[tuple[Path, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _walk(child, (*path, name))


EVERY: Final = dict(_walk(cli, ()))
GROUPS: Final = {path: command for path, command in EVERY.items() if isinstance(command, click.Group)}
LEAVES: Final = {path: command for path, command in EVERY.items() if path not in GROUPS}


def takes(path: Path, name: str) -> bool:
    """Tell whether the command has an option or argument of this name."""
    return any(parameter.name == name for parameter in LEAVES[path].params)


def has_option(path: Path, option: str) -> bool:
    """Tell whether the command has this option, such as `--url`."""
    return any(option in parameter.opts for parameter in LEAVES[path].params)
