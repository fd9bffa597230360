"""Lists as one parameter of a statement, so that its text is always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


def id_list(values: Sequence[str]) -> str:
    """Write strings as one JSON parameter.

    What is no text, or none that can be stored, is the id of nothing.
    """
    try:
        return msgspec.json.encode(values).decode()
    except (UnicodeEncodeError, TypeError):
        return msgspec.json.encode([str.__str__(value) for value in values if is_text(value)]).decode()


def is_text(value: object) -> bool:
    """Tell whether it is text that UTF-8 can write; anything else cannot be the name of something stored."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def seq_list(values: Sequence[int]) -> str:
    """Write row numbers as one JSON parameter."""
    return msgspec.json.encode(values).decode()
