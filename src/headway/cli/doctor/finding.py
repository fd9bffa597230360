"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. Only an error makes the doctor's exit code 1."""

    OK = "ok"
    WARN = "warn"  # works now; may lose jobs or time under load or after a crash
    ERROR = "error"  # jobs are lost or refused, or will be


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: which check, what it saw, and what to do about it."""

    level: Level
    check: str
    message: str
    advice: str = ""


def ok(check: str, message: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, check, message)


def warn(check: str, message: str, advice: str) -> Finding:
    """Something to look at."""
    return Finding(Level.WARN, check, message, advice)


def error(check: str, message: str, advice: str) -> Finding:
    """Something to change now."""
    return Finding(Level.ERROR, check, message, advice)


def size(count: float) -> str:
    """Bytes in a readable unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the size of a unit
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
