"""Plain values among tokens: literals of objects, lists, texts and numbers. All else is Unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.node.tokens import Token

_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "undefined": None}
_DEPTH: Final = 30


class Unknown(NamedTuple):
    """A value that is known only when the code runs."""

    written: str


def fields_of(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever was read
    """Return the value where it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items_of(value: Any) -> list[Any]:  # noqa: ANN401 - whatever was read
    """Return the value where it is a list, else an empty one."""
    return [*value] if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def arguments(found: Sequence[Token], at: int, names: Mapping[str, Any]) -> list[Any]:
    """Return the values of the arguments of a call whose `(` stands at `at`."""
    return [value(part, names) for part in parts(found[at + 1 : end_of(found, at)])]


def end_of(found: Sequence[Token], at: int) -> int:
    """Return where the bracket that opens at `at` closes; the end of all tokens when it does not."""
    depth = 0
    for n in range(at, len(found)):
        mark = found[n].value if found[n].kind == "mark" else ""
        if mark in _OPENING:
            depth += 1
        elif mark in _OPENING.values():
            depth -= 1
            if not depth:
                return n
    return len(found)


def parts(found: Sequence[Token]) -> list[Sequence[Token]]:
    """Divide tokens at the commas outside of brackets."""
    divided: list[Sequence[Token]] = []
    begin = n = 0
    while n < len(found):
        mark = found[n].value if found[n].kind == "mark" else ""
        if mark in _OPENING:
            n = end_of(found, n)
        elif mark == ",":
            divided.append(found[begin:n])
            begin = n + 1
        n += 1
    divided.append(found[begin:])
    return [part for part in divided if part]


def value(part: Sequence[Token], names: Mapping[str, Any], depth: int = _DEPTH) -> Any:  # noqa: ANN401 - any plain one
    """Return the value of an expression; Unknown where it is not plain."""
    part = _without_cast(part)
    if not part or not depth:
        return Unknown("")
    first = part[0]
    if len(part) == 1:
        return _single(first, names)
    closes = first.kind == "mark" and first.value in _OPENING and end_of(part, 0) == len(part) - 1
    if closes and first.value == "{":
        return _object(part[1:-1], names, depth)
    if closes and first.value == "[":
        return [value(one, names, depth - 1) for one in parts(part[1:-1])]
    if closes:
        return value(part[1:-1], names, depth - 1)
    return _product(part, names)


def _single(token: Token, names: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any plain one
    match token.kind:
        case "text":
            return token.value
        case "number":
            text = token.value.replace("_", "")
            return int(text) if text.isdigit() else float(text)
        case "name" if token.value in _CONSTANTS:
            return _CONSTANTS[token.value]
        case "name" if token.value in names:
            return names[token.value]
        case _:
            return Unknown(token.value)


def _without_cast(part: Sequence[Token]) -> Sequence[Token]:
    for n, token in enumerate(part):
        if n and token.kind == "name" and token.value in {"as", "satisfies"}:
            return part[:n]
    return part


def _object(found: Sequence[Token], names: Mapping[str, Any], depth: int) -> Any:  # noqa: ANN401 - a dict
    made: dict[str, Any] = {}
    for part in parts(found):
        key = part[0]
        if key.kind not in {"name", "text", "number"}:
            continue  # a spread, a computed key
        if len(part) == 1:
            made[key.value] = value(part, names, depth - 1)
        elif part[1].value == ":":
            made[key.value] = value(part[2:], names, depth - 1)
        else:
            made[key.value] = Unknown(key.value)  # a method
    return made


def _product(part: Sequence[Token], names: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a number
    """Return numbers with `*` between them, which is how durations are written."""
    result = 1
    for n, token in enumerate(part):
        if n % 2:
            if token.value != "*":
                return Unknown(written(part))
            continue
        one = _single(token, names)
        if not isinstance(one, int) or isinstance(one, bool):
            return Unknown(written(part))
        result *= one
    return result if abs(result) < 10**15 and len(part) % 2 else Unknown(written(part))


def written(part: Sequence[Token]) -> str:
    """Return about what stands there, shortened."""
    text = "".join(token.value for token in part)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - it stands within a sentence
