"""Text of people and of exceptions, as every carrier can hold it."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 2000  # characters of a message or a reason


def storable(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text as every carrier can hold it: bounded, and with what no encoding has (of file names) escaped."""
    return text[:limit].encode(errors="backslashreplace").decode()[:limit]
