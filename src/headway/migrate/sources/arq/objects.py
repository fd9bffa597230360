"""What pickles hold, read as plain values, and what they may call to make some."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_VALUES: Final = 200_000
"""Counted where they are reached: a list that holds one other twice holds it twice. 64 bytes of text are one more."""
MAX_DEPTH: Final = 100
MAX_SHOWN: Final = 80
UNMADE: Final = object()


class PickleRefusedError(ValueError):
    """The pickle is damaged, too large, or holds what is not allowed; the message says what."""


class Opaque(Struct, frozen=True):
    """What a pickle would call, where that is only to be shown and never done."""

    name: str
    args: tuple[Any, ...] = ()


class Name(Struct, frozen=True):
    """A global that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        """Show it as it is written in Python."""
        return f"{self.module}.{self.name}"


class Made(Struct):
    """An object that is made once its state is known."""

    name: Name
    args: tuple[Any, ...]
    value: Any = UNMADE


class Budget(Struct):
    """How much may be reached yet."""

    values: int
    opaque: bool = False


def finished(value: Any, budget: Budget, depth: int = 0) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - each kind of value
    """Return the value with each object that was put off in its place; so each container is its own."""
    budget.values -= 1
    if budget.values < 0:
        msg = f"it holds more than {MAX_VALUES:,} values"
        raise PickleRefusedError(msg)
    if depth > MAX_DEPTH:
        raise RecursionError
    kind: Any = cast("Any", type)(value)
    if kind is tuple:
        return tuple([finished(one, budget, depth + 1) for one in value])
    if kind is list:
        return [finished(one, budget, depth + 1) for one in value]
    if kind is dict:
        return {
            finished(key, budget, depth + 1): finished(one, budget, depth + 1) for key, one in value.items()
        }
    if kind is set:
        return {finished(one, budget, depth + 1) for one in value}
    if kind is frozenset:
        return frozenset(finished(one, budget, depth + 1) for one in value)
    if kind is Name:
        if budget.opaque:
            return Opaque(str(value))
        msg = f"it passes {str(value)[:MAX_SHOWN]!r} itself"
        raise PickleRefusedError(msg)
    if kind is Made:
        if value.value is UNMADE:
            msg = f"it makes a {str(value.name)[:MAX_SHOWN]!r} without a state"
            raise PickleRefusedError(msg)
        return value.value
    if kind in _LONG:
        budget.values -= len(value) >> 6
    elif kind is int:
        budget.values -= value.bit_length() >> 9
    return value


def of(kind: type[Any], value: Any) -> Any:  # noqa: ANN401 - the value
    """Return a value that is of exactly this type; PickleRefusedError."""
    if type(value) is not kind:
        msg = f"a {kind.__name__} was expected, not a {type(value).__name__}"
        raise PickleRefusedError(msg)
    return value


def key_of(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return a value that may be a key: known now, so that it is what it will be."""
    if isinstance(value, Made):
        if value.value is UNMADE:
            msg = "it uses an unfinished object as a key"
            raise PickleRefusedError(msg)
        return value.value
    return value


def put_pairs(target: dict[Any, Any], values: Sequence[Any]) -> dict[Any, Any]:
    """Put keys and values, one behind the other, into a dict, and return it."""
    for at in range(0, len(values), 2):
        target[key_of(values[at])] = values[at + 1]
    return target


def revived(own: type, args: tuple[Any, ...], state: Any) -> Any:  # noqa: ANN401 - an instance of it
    """Make an instance of a class that its owner has named, as `pickle` would."""
    made = own.__new__(own, *args)
    restore = getattr(made, "__setstate__", None)
    if restore is not None:
        restore(state)
        return made
    for part in cast("Any", state if type(state) is tuple else [state]):
        for name, value in cast("dict[Any, Any]", part or {}).items():
            object.__setattr__(made, of(str, name), value)
    return made


def _items(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    def make(items: Any = ()) -> Any:  # noqa: ANN401 - as written
        if type(items) not in {list, tuple}:
            msg = "it makes a set of something that is no list"
            raise PickleRefusedError(msg)
        return kind(items)

    return make


def _bytearray(data: Any = b"", *rest: Any) -> bytearray:  # noqa: ANN401 - as written
    if rest:  # as the oldest protocols write it: a text in latin-1
        return bytearray(of(str, data).encode("latin-1"))
    return bytearray(of(bytes, data))


def _no_bytes(*args: Any) -> bytes:  # noqa: ANN401 - as written
    """Make empty bytes, as protocols below 3 write them; nothing else is made so."""
    if args:
        msg = "it makes bytes of something"
        raise PickleRefusedError(msg)
    return b""


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:  # noqa: ANN401 - as written
    """Make bytes as protocols below 3 write them."""
    if encoding != "latin1":
        msg = "it encodes a text as something else"
        raise PickleRefusedError(msg)
    return cast("bytes", of(str, text).encode("latin-1"))


def _checked(make: Callable[..., Any], *kinds: type) -> Callable[..., Any]:
    """Let a maker have arguments of these kinds alone."""

    def made(*args: Any) -> Any:  # noqa: ANN401 - as written
        for arg in args:
            if type(arg) not in kinds:
                msg = f"it gives a {type(arg).__name__} to {getattr(make, '__name__', make)}"
                raise PickleRefusedError(msg)
        return make(*args)

    return made


_PLACE: Final = (bytes, str, int, timezone, type(None))
CALLS: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("builtins", "set"): _items(set),
    ("builtins", "frozenset"): _items(frozenset),
    ("builtins", "bytearray"): _bytearray,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "complex"): _checked(complex, float, int),
    ("_codecs", "encode"): _encoded,
    ("datetime", "datetime"): _checked(datetime, *_PLACE),
    ("datetime", "date"): _checked(date, *_PLACE),
    ("datetime", "time"): _checked(time, *_PLACE),
    ("datetime", "timedelta"): _checked(timedelta, int, float),
    ("datetime", "timezone"): _checked(timezone, timedelta, str),
    ("decimal", "Decimal"): _checked(Decimal, str),
}
# Protocols below 3 write the names of Python 2.
CALLS.update(
    {
        ("__builtin__", name): CALLS["builtins", name]
        for name in ("set", "frozenset", "bytearray", "bytes", "complex")
    }
)
# How the oldest protocols make an object of a class: the class itself, `object`, nothing.
RECONSTRUCTORS: Final = frozenset({("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")})
KNOWN: Final = frozenset(
    {*CALLS, *RECONSTRUCTORS, ("uuid", "UUID"), ("__builtin__", "object"), ("builtins", "object")}
)
_LONG: Final = frozenset({str, bytes, bytearray})
