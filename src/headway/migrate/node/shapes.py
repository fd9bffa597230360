"""From a sample of payloads to the types of parameters."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headway.migrate.node.values import Unknown, fields_of, items_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIELDS: Final = 40  # of a payload: with more, it is one argument
_ITEMS: Final = 100  # of a list that are looked at


class Parameter(NamedTuple):
    """A parameter with its type; `optional`: some payloads have it, and others not."""

    name: str
    kind: str
    optional: bool


def parameters(payloads: Sequence[Any]) -> list[Parameter] | None:
    """Return a parameter for each field of all payloads; None where they are one argument.

    They are, when one is no object, has fields that are no names in Python, or has too many of them.
    """
    objects = [fields_of(one) for one in payloads if isinstance(one, dict)]
    if not objects or len(objects) < len(payloads):
        return None
    fields = list(dict.fromkeys(name for one in objects for name in one))
    if len(fields) > _FIELDS or not all(_is_name(name) for name in fields):
        return None
    made = [
        Parameter(
            name,
            kind_of([one[name] for one in objects if name in one]),
            optional=any(name not in one for one in objects),
        )
        for name in fields
    ]
    return sorted(made, key=lambda one: one.optional)


def kind_of(values: Sequence[Any]) -> str:
    """Return the type of all these values, as source."""
    kinds = sorted({_kind(one) for one in values} - {"None"})
    if "Any" in kinds:
        return "Any"
    if kinds == ["float", "int"]:
        kinds = ["float"]
    lists = [one for one in kinds if one.startswith("list[")]
    if len(lists) > 1:
        items = [item for one in values for item in items_of(one)[:_ITEMS]]
        kinds = [one for one in kinds if one not in lists] + [f"list[{kind_of(items)}]"]
    if any(one is None for one in values):
        kinds.append("None")
    return " | ".join(kinds) if kinds and kinds != ["None"] else "Any"


def _kind(value: object) -> str:  # noqa: PLR0911 - one for each type
    match value:
        case None:
            return "None"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "str"
        case Unknown():
            return "Any"
        case list():
            return f"list[{kind_of(items_of(value)[:_ITEMS])}]" if value else "list[Any]"
        case _:
            return "dict[str, Any]"


def _is_name(name: str) -> bool:
    return (
        name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and name not in {"self", "ctx"}
    )
