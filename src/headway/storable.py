"""Text of people and of exceptions, and numbers of their libraries, as every carrier can hold them."""

from __future__ import annotations

import math
from typing import Final, cast

MAX_TEXT: Final = 2000  # characters of a message or a reason
MAX_LINE: Final = 10_000  # characters of a line of a job's log


def exact(text: str, limit: int | None = None) -> str:
    """Return the text, or so much of it, as a plain str: a subclass may do anything when it is sliced or encoded."""
    return str.__getitem__(text, slice(limit))


def storable(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text as every carrier can hold it: bounded, and with what no encoding has (of file names) escaped."""
    return exact(text, limit).encode(errors="backslashreplace").decode()[:limit]


def real(value: object) -> float:
    """Return a number of any library (numpy, Decimal, Fraction, bool) as a plain float; TypeError when it is none."""
    if isinstance(value, str | bytes | bytearray) or not hasattr(type(value), "__float__"):
        msg = f"a number is wanted, got {type(value).__name__}"
        raise TypeError(msg)
    try:
        return float(cast("float", value))
    except OverflowError:
        return math.inf
