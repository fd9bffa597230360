"""What the clients of Google leave untyped. Their methods and well-known types are partly unknown to type checkers."""

from __future__ import annotations

from typing import Any, TypeAlias

from headway.clock import duration_ms

Untyped: TypeAlias = Any
"""A client, or a message as the API sends it."""


def milliseconds(duration: Untyped) -> int:
    """Return a duration of a message, which is none where it was not set."""
    return duration_ms(duration or 0)
