"""Values whose type no annotation names: they arrive as they were given, or are refused where they are enqueued.

A codec writes a set as a list and a Decimal as a text. With an annotation they are read back as what they were; without
one the handler would be given something else than the caller passed, and nobody would be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from gc import get_referents
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgspec
from msgspec import inspect

from headway.codec import to_builtin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.codec import Format

_SCALAR: Final = frozenset({int, str, float, bool, bytes, type(None)})
_CONTAINERS: Final = frozenset({dict, list})
_SCALAR_OR_CONTAINER: Final = _SCALAR | _CONTAINERS
_TO_JSON: Final = msgspec.json.Encoder(enc_hook=to_builtin).encode
_TO_MSGPACK: Final = msgspec.msgpack.Encoder(enc_hook=to_builtin).encode
_WITH_FIELDS: Final = (inspect.StructType, inspect.DataclassType, inspect.NamedTupleType)
_SCALARS: Final[dict[type, inspect.Type]] = {
    int: inspect.IntType(),
    str: inspect.StrType(),
    float: inspect.FloatType(),
    bool: inspect.BoolType(),
    bytes: inspect.BytesType(),
    type(None): inspect.NoneType(),
}
_ABSENT: Final = object()
_SEQUENCES: Final = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)


class Need(Enum):
    """What has to be checked of a value of a known type before it is certain to arrive unchanged."""

    NOTHING = "nothing"
    UNCHANGED = "that nothing in it would arrive as something else"
    TEXT_KEYS = "the same, and that all its keys are texts"
    DECODE = "that it can be read as the worker will read it"


class Accepted(NamedTuple):
    """The types whose values a parameter accepts, with the check that each needs; all other types need `DECODE`."""

    needs: dict[type, Need]
    untyped: bool = False  # it takes anything

    def need(self, given: type, form: Format) -> Need:
        """Return the check that a value of this type needs."""
        if not self.untyped:
            return self.needs.get(given, Need.DECODE)
        scalar = given in _SCALAR and not (form == "json" and given is bytes)
        return Need.NOTHING if scalar else Need.UNCHANGED


def accepted(kind: inspect.Type) -> Accepted:  # noqa: PLR0911 - one for each kind
    """Return what a parameter of this type accepts."""
    match kind:
        case inspect.AnyType():
            return Accepted({}, untyped=True)
        case inspect.UnionType(types=members):
            found = [accepted(member) for member in members]
            needs = {given: need for one in found for given, need in one.needs.items()}
            return Accepted(needs, untyped=any(one.untyped for one in found))
        case inspect.Metadata(type=inner):
            return accepted(inner)
        case inspect.DictType(
            key_type=inspect.AnyType(), value_type=inspect.AnyType(), min_length=None, max_length=None
        ):
            return Accepted({dict: Need.UNCHANGED})
        case inspect.DictType(
            key_type=inspect.StrType(min_length=None, max_length=None, pattern=None),
            value_type=inspect.AnyType(),
            min_length=None,
            max_length=None,
        ):
            return Accepted({dict: Need.TEXT_KEYS})
        case inspect.ListType(item_type=inspect.AnyType(), min_length=None, max_length=None):
            return Accepted({list: Need.UNCHANGED})
        case _:
            return Accepted({given: Need.NOTHING for given, name in _SCALARS.items() if name == kind})


class Change(NamedTuple):
    """A value that would not arrive as it was given; `path` leads to it, such as `['lines'][0]`."""

    path: str
    given: str
    arrives: str


def arrives_unchanged(value: object, form: Format) -> bool:
    """Decide the common case quickly; false says only that `untyped_change` has to look.

    `value` has been encoded already: it is finite and leads nowhere back to itself.
    """
    if type(value) not in _CONTAINERS:
        return False
    if form == "json":
        return bool(_arrived(value, form) == value)
    # A level of the tree at a time, because calls of Python for each item cost more than the encoding. Of a dict whose
    # keys are texts `get_referents` gives the values alone.
    level: list[Any] = [value]
    while True:
        below = get_referents(*level)
        kinds = set(map(type, below))
        if kinds <= _SCALAR:
            return True
        if not kinds <= _SCALAR_OR_CONTAINER:
            return False
        level = [item for item in below if type(item) in _CONTAINERS]


def is_flat_record(value: dict[object, object]) -> bool:
    """Tell for the commonest dict of all: whether its keys are str and its values scalars, none a container."""
    # Both the keys and the values are given unless all keys are texts.
    values = get_referents(value)
    return len(values) == len(value) and set(map(type, values)) <= _SCALAR


def untyped_change(value: object, form: Format, path: str = "") -> Change | None:
    """Return the first part of the value that would arrive changed; None when all arrives equal."""
    match value:
        case Enum():
            same = value.value == value and untyped_change(value.value, form) is None
        case None | bool() | int() | float() | str():
            same = True
        case bytes():
            same = form == "msgpack"
        case datetime():
            same = form == "msgpack" and value.tzinfo is not None
        case dict():
            return _change_in_dict(cast("dict[object, object]", value), form, path)
        case list():
            return _first(
                untyped_change(item, form, f"{path}[{n}]")
                for n, item in enumerate(cast("list[object]", value))
            )
        case _:
            same = False
    return None if same else Change(path, type(value).__name__, type(_arrived(value, form)).__name__)


def typed_change(  # noqa: PLR0911 - one for each kind
    kind: inspect.Type,
    value: Any,  # noqa: ANN401 - any value
    form: Format,
    path: str = "",
) -> Change | None:
    """As `untyped_change`, only for those parts of the value whose type is `Any`."""
    if isinstance(kind, inspect.AnyType):
        return untyped_change(value, form, path)
    if isinstance(kind, inspect.UnionType):
        found = [typed_change(one, value, form, path) for one in kind.types if _may_be(one, value)]
        return None if None in found else _first(found)
    if isinstance(kind, inspect.DictType) and isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return _first(typed_change(kind.value_type, item, form, f"{path}[{key!r}]") for key, item in pairs)
    if isinstance(kind, _SEQUENCES) and isinstance(value, list | tuple | set | frozenset):
        items = cast("Iterable[object]", value)
        return _first(
            typed_change(kind.item_type, item, form, f"{path}[{n}]") for n, item in enumerate(items)
        )
    if isinstance(kind, inspect.TupleType):
        typed = enumerate(zip(kind.item_types, value, strict=False))
        return _first(typed_change(one, item, form, f"{path}[{n}]") for n, (one, item) in typed)
    if isinstance(kind, _WITH_FIELDS):
        return _first(
            typed_change(field.type, inner, form, f"{path}.{field.name}")
            for field in kind.fields
            if (inner := _given(value, field)) is not _ABSENT
        )
    if isinstance(kind, inspect.TypedDictType) and isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return _first(
            typed_change(field.type, fields.get(field.name), form, f"{path}[{field.name!r}]")
            for field in kind.fields
        )
    return None


def _given(value: Any, field: inspect.Field) -> object:  # noqa: ANN401 - any value
    """Return what an object has in a field; a dict stands for one, and what it does not give has its default."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).get(field.encode_name, _ABSENT)
    return getattr(value, field.name, _ABSENT)


def has_untyped_parts(kind: inspect.Type) -> bool:
    """Tell whether the type contains `Any`, not counting itself."""
    return any(isinstance(part, inspect.AnyType) for part in parts_of(kind))


def parts_of(kind: inspect.Type) -> Iterable[inspect.Type]:
    """Yield the type and all that it is made of, each once."""
    seen: set[int] = set()
    waiting: list[inspect.Type] = [kind]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, inspect.UnionType):
            waiting += part.types
        elif isinstance(part, inspect.DictType):
            waiting += (part.key_type, part.value_type)
        elif isinstance(part, _SEQUENCES):
            waiting.append(part.item_type)
        elif isinstance(part, inspect.TupleType):
            waiting += part.item_types
        elif isinstance(part, (*_WITH_FIELDS, inspect.TypedDictType)):
            waiting += [field.type for field in part.fields]
        elif isinstance(part, inspect.Metadata):
            waiting.append(part.type)


def _may_be(kind: inspect.Type, value: object) -> bool:
    """Tell whether a member of a union may be what the value is read as."""
    if isinstance(kind, _WITH_FIELDS):
        return isinstance(value, kind.cls)
    if isinstance(kind, (inspect.DictType, inspect.TypedDictType)):
        return isinstance(value, Mapping)
    if isinstance(kind, (*_SEQUENCES, inspect.TupleType)):
        return isinstance(value, list | tuple | set | frozenset)
    return isinstance(kind, inspect.AnyType) or not isinstance(
        value, Mapping | list | tuple | set | frozenset
    )


def _change_in_dict(value: dict[object, object], form: Format, path: str) -> Change | None:
    for key, item in value.items():
        if not _key_arrives(key, form):
            arrived = _arrived({key: None}, form)
            return Change(f"{path} key {key!r}", type(key).__name__, type(next(iter(arrived))).__name__)
        found = untyped_change(item, form, f"{path}[{key!r}]")
        if found is not None:
            return found
    return None


def _key_arrives(key: object, form: Format) -> bool:
    if form == "json":
        return isinstance(key, str)
    if isinstance(key, tuple):
        return all(_key_arrives(part, form) for part in cast("tuple[object, ...]", key))
    return untyped_change(key, form) is None


def _first(found: Iterable[Change | None]) -> Change | None:
    return next((change for change in found if change is not None), None)


def _arrived(value: object, form: Format) -> Any:  # noqa: ANN401 - whatever comes out
    if form == "json":
        return msgspec.json.decode(_TO_JSON(value))
    return msgspec.msgpack.decode(_TO_MSGPACK(value))
