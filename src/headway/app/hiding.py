"""Arguments that a task's declaration hides: they run with the job, and nobody is shown them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALL: Final = "*"
"""Stands for all arguments of a task."""
HIDDEN: Final = "***"
"""What is shown in place of a hidden argument."""


def is_hidden(path: str, hidden: Sequence[str]) -> bool:
    """Tell whether a path lies at or below a hidden one, or holds one."""
    return any(
        one in {ALL, path} or path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in hidden
    )


def without_hidden(arguments: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    """Return the arguments by name, those that are hidden replaced by `***`; nothing given is changed."""
    if not hidden:
        return dict(arguments)
    if ALL in hidden:
        return dict.fromkeys(arguments, HIDDEN)
    shown: dict[str, Any] = dict(arguments)
    for path in hidden:
        shown = _replaced(shown, path.split("."))
    return shown


def _replaced(value: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - any value of JSON
    if isinstance(value, list | tuple):
        return [_replaced(one, path) for one in cast("Sequence[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if path[0] not in fields:
        return fields
    inner = HIDDEN if len(path) == 1 else _replaced(fields[path[0]], path[1:])
    return {**fields, path[0]: inner}
