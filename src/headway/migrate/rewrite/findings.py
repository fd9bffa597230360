"""What a rewrite has to tell people: where, what was found, what to do."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct


class Kind(StrEnum):
    """How much is left to do."""

    HAND = "by hand"
    """It was left as it was, or taken out without anything in its place."""
    CHECK = "check"
    """It was changed, and something about it behaves otherwise than before."""
    UNREAD = "unread"
    """The file could not be read."""


class Finding(Struct, frozen=True, order=True):
    """One line of the report. `line` is 1 for the first line of the file, 0 for the file as a whole."""

    file: str
    line: int
    kind: Kind
    what: str
    todo: str


Report: TypeAlias = Callable[[Finding], None]
"""Takes a finding."""
