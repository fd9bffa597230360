"""A form made from the JSON Schema of a task's arguments, and arguments made from the form; pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from msgspec import Struct, structs

from headway.server.services.problems import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Kind = Literal["text", "number", "switch", "choice", "json"]
PREFIX: Final = "arg."
"""How the name of a field begins that is an argument; behind it stands the argument's own."""
_PLAIN: Final[Mapping[str, Kind]] = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "switch",
}


class Field(Struct, frozen=True):
    """One argument: what is asked for, and what stands in it."""

    name: str
    kind: Kind
    needed: bool
    hint: str
    value: str = ""
    choices: tuple[str, ...] = ()
    wrong: str = ""

    @property
    def field(self) -> str:
        """The name of its field in the form."""
        return f"{PREFIX}{self.name}"


def fields_of(schema: Mapping[str, Any], given: Mapping[str, Any]) -> list[Field]:
    """Return the fields of a task, in the order of its parameters; `given` are values by name."""
    kwargs = _part(_part(schema, "properties"), "kwargs")
    named: dict[str, Any] = dict(_part(kwargs, "properties"))
    by_place: list[Any] = _part(_part(schema, "properties"), "args").get("prefixItems", [])
    for one in by_place:  # those that may be given by place only
        title = _part({"it": one}, "it").get("title")
        if isinstance(title, str):
            named.setdefault(title, one)
    return [_field(name, _part(named, name), given) for name in named]


def values_of(fields: list[Field], form: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the arguments of a form, those left empty left out; InvalidError names the one that cannot be read."""
    found: dict[str, Any] = {}
    for one in fields:
        text = next(iter(form.get(one.field, ())), "")
        if one.kind == "switch":
            if text in {"true", "false"}:
                found[one.name] = text == "true"
        elif text or (one.kind == "text" and one.needed):
            found[one.name] = _value(one, text)
    return found


def raw_arguments(values: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    """Return the values of a form as the arguments of a job that is to be made."""
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in values.items()}


def refilled(fields: Sequence[Field], form: Mapping[str, tuple[str, ...]], said: str) -> list[Field]:
    """Return the fields as they were filled in, with what is said of an argument beside its field."""
    return [
        structs.replace(
            one,
            value=next(iter(form.get(one.field, ())), one.value),
            wrong=said if said.startswith(f"{one.name}: ") or f": argument {one.name!r} " in said else "",
        )
        for one in fields
    ]


def beside(said: str, names: Iterable[str]) -> dict[str, str]:
    """Return what is said of one of these options, by its name; nothing where it is said of none of them."""
    what = said.removeprefix("options: ")
    for name in names:
        if what.startswith((f"{name}:", f"{name} ")):
            return {name: what}
    return {}


def _value(field: Field, text: str) -> object:
    if field.kind in {"text", "choice"}:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        what = "a number" if field.kind == "number" else 'JSON, such as {"a": 1}, [1, 2], "text" or null'
        msg = f"{field.name}: must be {what}; {text[:60]!r} is not"
        raise InvalidError(msg) from error


def _field(name: str, parameter: Mapping[str, Any], given: Mapping[str, Any]) -> Field:
    kind, choices = _kind(parameter)
    needed = "default" not in parameter and parameter.get("description") != "has a default"
    value = given.get(name, parameter.get("default"))
    return Field(name, kind, needed, _hint(parameter, needed=needed), _text(value, kind), choices)


def _kind(parameter: Mapping[str, Any]) -> tuple[Kind, tuple[str, ...]]:
    choices = _texts(parameter.get("enum"))
    if choices:
        return "choice", choices
    return _PLAIN.get(str(parameter.get("type")), "json"), ()


def _text(value: object, kind: Kind) -> str:
    if value is None and kind != "json":
        return ""
    if isinstance(value, str) and kind in {"text", "choice"}:
        return value
    return (
        ""
        if value is None
        else json.dumps(value, ensure_ascii=False, indent=None if kind != "json" else 2, default=str)
    )


def _hint(parameter: Mapping[str, Any], *, needed: bool) -> str:
    named = {"string": "text", "integer": "whole number", "number": "number", "boolean": "yes or no"}
    said = named.get(str(parameter.get("type")), "JSON")
    return said if needed else f"{said}; may be left empty"


def _part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: Any = whole.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    """Return a list of texts; nothing where it is none, or has other things in it."""
    try:
        return msgspec.convert(value, tuple[str, ...])
    except msgspec.ValidationError:
        return ()
