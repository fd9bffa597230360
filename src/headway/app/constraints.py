"""Constraints that pydantic's annotations put on parameters, such as `Annotated[int, Field(ge=1)]`.

msgspec reads arguments and checks what `msgspec.Meta` says; of other annotations it knows nothing. Where those of
pydantic stand in a parameter's type, pydantic looks at what msgspec has read.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args, get_origin

import msgspec

from headway.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterator

# By name: neither package is loaded unless somebody's annotations come from it.
_PACKAGES: Final = ("annotated_types", "pydantic", "pydantic_core")


class _ReadAsAnother(type):
    """A class whose values are of whatever type its `model_validate` returns: msgspec asks whether they are its own."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


def readable(kind: Any, where: str) -> Any:  # noqa: ANN401 - any annotation
    """Return the type to read arguments as: `kind` itself, or one that also checks what pydantic says of it.

    `where` names the parameter in a DeclarationError, for constraints that nobody would check.
    """
    if get_origin(kind) is None and not _has_fields(kind):
        return kind  # the common case
    found = list(_constrained(kind, kind, set()))
    if not found:
        return kind
    for owner, constraint in found:
        if isinstance(owner, type) and issubclass(owner, msgspec.Struct):
            msg = f"{where} is a {owner.__name__}, in which nothing checks {constraint!r}: write msgspec.Meta there"
            raise DeclarationError(msg)
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415 - only where it is used
    except ImportError as error:
        msg = f"{where} has the constraint {found[0][1]!r}, which pydantic checks: install it, or write msgspec.Meta"
        raise DeclarationError(msg) from error
    try:
        adapter: Any = TypeAdapter(kind)
    except Exception as error:
        msg = f"{where} is of a type that pydantic cannot check: {error}"
        raise DeclarationError(msg) from error
    # pydantic takes an instance of a class as it is: its fields are looked at only while it is made.
    anew = any(_has_fields(owner) for owner, _ in found)

    def validate(_: type, value: object) -> Any:  # noqa: ANN401 - whatever the type is
        read = msgspec.convert(value, kind)
        return adapter.validate_python(value if anew else read)

    return _ReadAsAnother("Constrained", (), {"model_validate": classmethod(validate)})


def _constrained(kind: Any, owner: Any, seen: set[Any]) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - any annotation
    """Yield the constraints of pydantic within the type, each with the class whose field has it."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *metadata = get_args(kind)
        for one in metadata:
            if type(one).__module__.partition(".")[0] in _PACKAGES:
                yield owner, one
        yield from _constrained(inner, owner, seen)
    elif origin is not None:
        for part in get_args(kind):
            yield from _constrained(part, owner, seen)
        yield from _constrained(origin, owner, seen)
    elif _has_fields(kind) and kind not in seen:
        seen.add(kind)
        for hint in _hints(kind):
            yield from _constrained(hint, kind, seen)


def _has_fields(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    if not isinstance(kind, type):
        return False
    owner = cast("type[object]", kind)
    return (
        dataclasses.is_dataclass(owner)
        or issubclass(owner, msgspec.Struct)
        or hasattr(owner, "__total__")  # a TypedDict, of typing or of typing_extensions
        or hasattr(owner, "_fields")  # a NamedTuple
    )


def _hints(kind: type) -> list[Any]:
    try:
        return list(typing.get_type_hints(kind, include_extras=True).values())
    except Exception:  # noqa: BLE001 - an annotation may raise anything; msgspec will say so
        return []
