"""Secrets by reference: what is stored and shown says `secret://NAME`, and the worker puts the value in when it calls.

Only what the operator puts where Headway looks can be named: else whoever may enqueue could send any variable of the
worker to a host of theirs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.httpjobs.errors import HttpRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE: Final = re.compile(r"secret://([A-Za-z0-9][A-Za-z0-9_.-]{0,99})")
_VARIABLE: Final = "HEADWAY_SECRET_"
_MOST: Final = 64 * 1024  # bytes of a file
_HIDDEN: Final = "***"
_LEAST_HIDDEN: Final = 4  # characters: what is shorter is no secret, and hiding it would garble everything


class Secrets:
    """Looks them up: NAME in the variable HEADWAY_SECRET_NAME, or in the file NAME of a folder."""

    def __init__(self, folder: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Without `folder` only variables are looked at."""
        self._folder = Path(folder) if folder else None
        self._environment = os.environ if environment is None else environment

    def value(self, name: str) -> str:
        """Return one; HttpRefusedError says where it was looked for."""
        variable = _VARIABLE + re.sub(r"[.-]", "_", name).upper()
        value = self._environment.get(variable)
        if value is None and self._folder is not None:
            value = self._from_file(self._folder / name)
        if not value:
            where = variable if self._folder is None else f"{variable} and {self._folder}"
            msg = f"secret {name!r} is not known to this worker: looked for in {where}"
            raise HttpRefusedError(msg)
        if any(ord(character) < ord(" ") for character in value):
            msg = f"secret {name!r} has a line break or a control character in it"
            raise HttpRefusedError(msg)
        return value

    def _from_file(self, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                return file.read(_MOST).decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            return None


def names_in(text: str) -> list[str]:
    """Return the names of the secrets that a text refers to."""
    return REFERENCE.findall(text)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Put the values in the place of the references."""
    return REFERENCE.sub(lambda match: values[match[1]], text)


def hidden(text: str, values: Mapping[str, str]) -> str:
    """Return a text of the target's without the values: it may send back what it was sent."""
    for value in sorted(values.values(), key=len, reverse=True):
        if len(value) >= _LEAST_HIDDEN:
            text = text.replace(value, _HIDDEN)
    return text
