"""What no annotation names arrives as it was given, or is refused at enqueue with the parameter's name."""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.app.signature import Signature
from headway.codec import Codec, decode_call
from headway.errors import ArgumentsError, SerialisationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Form = Literal["msgpack", "json"]
FORMS: tuple[Form, ...] = ("msgpack", "json")


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


@dataclass
class Order:
    id: int
    extra: Any = None
    notes: dict[str, Any] = field(default_factory=dict)


class Line(msgspec.Struct):
    rest: list[Any]


class Pair(NamedTuple):
    first: int
    second: Any


class Table(TypedDict, total=False):
    cells: Any


def untyped(x, y=None): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def anything(x: Any) -> None: ...
def any_object(x: object) -> None: ...
def plain_dict(x: dict) -> None: ...  # type: ignore[type-arg]
def plain_list(x: list) -> None: ...  # type: ignore[type-arg]
def record(x: dict[str, Any]) -> None: ...
def maybe(x: dict[str, Any] | None) -> None: ...
def mapping(x: Mapping[str, Any]) -> None: ...
def sequence(x: Sequence[Any]) -> None: ...
def order(x: Order) -> None: ...
def line(x: Line) -> None: ...
def pair(x: Pair) -> None: ...
def table(x: Table) -> None: ...
def either(x: list[int] | dict[str, Any] | int) -> None: ...
def any_arguments(*x: Any, **more: Any) -> None: ...


def sent(function: Callable[..., Any], *args: Any, form: Form = "msgpack", **kwargs: Any) -> Any:
    """Enqueue the call, and a second time on the way that is known by then; return what the handler would get."""
    signature = Signature("t", function, form)
    codec = Codec(format=form)
    got: list[Any] = []
    more: dict[str, Any] = {}
    for _ in range(2):
        got, more = signature.decode(*decode_call(signature.encode(codec, args, kwargs)))
    return [*got, *more.values()][0]


def zoned() -> datetime:
    return datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("function", "value"),
    [
        (untyped, {"a": 1, "b": [1, {"c": None}], "d": 1.5}),
        (untyped, collections.OrderedDict(a=1)),
        (any_object, [True, "x"]),
        (anything, Level.LOW),
        (anything, Word.YES),
        (plain_dict, {}),
        (plain_list, [[], [[]]]),
        (record, {"a": {"b": {"c": [1, 2, {"d": "e"}]}}}),
        (maybe, None),
        (maybe, {"a": [1]}),
        (mapping, {"a": [1]}),
        (sequence, [1, {"a": 1}]),
        (either, {"a": [{}]}),
        (either, 3),
        (order, Order(1, {"a": [1]}, {"b": None})),
        (line, Line([1, "x", None])),
        (table, {"cells": [1]}),
    ],
)
def test_what_is_plain_arrives_equal(function: Callable[..., Any], value: Any, form: Form) -> None:
    assert sent(function, value, form=form) == value
    assert sent(function, x=value, form=form) == value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("value", "kind", "arrives"),
    [
        ({1, 2}, "set", "list"),
        (frozenset({1}), "frozenset", "list"),
        ((1, 2), "tuple", "list"),
        (Pair(1, 2), "Pair", "list"),
        (Decimal("1.10"), "Decimal", "str"),
        (UUID(int=7), "UUID", "str"),
        (Colour.RED, "Colour", "str"),
        (date(2030, 1, 1), "date", "str"),
        (datetime(2030, 1, 1), "datetime", "str"),  # noqa: DTZ001 - without a zone it is written as text
        (timedelta(seconds=1), "timedelta", "str"),
        (bytearray(b"x"), "bytearray", "bytes|str"),
        (Order(1), "Order", "dict"),
    ],
)
@pytest.mark.parametrize(
    ("function", "wrap", "where"),
    [
        (untyped, lambda v: v, "argument 'x': is of"),
        (any_object, lambda v: {"a": [v]}, r"argument 'x': \['a'\]\[0\] is of"),
        (plain_dict, lambda v: {"a": v}, r"argument 'x': \['a'\] is of"),
        (record, lambda v: {"a": v}, r"argument 'x': \['a'\] is of"),
        (record, lambda v: {"ok": [1], "a": [{"b": v}]}, r"argument 'x': \['a'\]\[0\]\['b'\] is of"),
        (maybe, lambda v: {"a": v}, r"argument 'x': \['a'\] is of"),
        (sequence, lambda v: [1, v], r"argument 'x': \[1\] is of"),
        (order, lambda v: Order(1, v), r"argument 'x': \.extra is of"),
        (order, lambda v: Order(1, notes={"a": v}), r"argument 'x': \.notes\['a'\] is of"),
        (line, lambda v: Line([v]), r"argument 'x': \.rest\[0\] is of"),
        (pair, lambda v: Pair(1, v), r"argument 'x': \[1\]|\.second is of"),
        (table, lambda v: {"cells": v}, r"argument 'x': \['cells'\] is of"),
        (either, lambda v: {"a": v}, r"argument 'x': \['a'\] is of"),
        (any_arguments, lambda v: v, "argument 'x': is of"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(
    function: Callable[..., Any],
    wrap: Callable[[Any], Any],
    where: str,
    value: Any,
    kind: str,
    arrives: str,
    form: Form,
) -> None:
    with pytest.raises(
        ArgumentsError, match=f"{where} type {kind} and would arrive as ({arrives}): annotate"
    ):
        sent(function, wrap(value), form=form)


def test_by_keyword_the_name_is_the_one_that_was_given() -> None:
    with pytest.raises(ArgumentsError, match="argument 'z': is of type set"):
        sent(any_arguments, z={1})
    with pytest.raises(ArgumentsError, match="argument 'y': is of type tuple"):
        sent(untyped, 1, y=(1,))


def test_what_only_one_format_can_hold() -> None:
    assert sent(untyped, b"x") == b"x"
    assert sent(untyped, {1: b"x", (1, 2): None}) == {1: b"x", (1, 2): None}
    assert sent(untyped, [zoned()]) == [zoned()]
    assert math.isnan(sent(untyped, [math.nan, zoned()])[0])
    for value, kind in ((b"x", "bytes"), (zoned(), "datetime"), ([b"x"], "bytes")):
        with pytest.raises(ArgumentsError, match=f"is of type {kind} and would arrive as str"):
            sent(untyped, value, form="json")
    with pytest.raises(ArgumentsError, match="argument 'x':  key 1 is of type int and would arrive as str"):
        sent(untyped, {1: 2}, form="json")
    with pytest.raises(
        ArgumentsError, match=r"key Decimal\('1'\) is of type Decimal and would arrive as str"
    ):
        sent(untyped, {Decimal(1): 2})


@pytest.mark.parametrize("value", [math.nan, {"a": [math.inf]}, [None, -math.inf], Order(1, math.nan)])
@pytest.mark.parametrize("function", [untyped, any_arguments])
def test_a_number_that_json_does_not_have_is_refused_wherever_it_stands(
    function: Callable[..., Any], value: Any
) -> None:
    with pytest.raises(SerialisationError, match=r"JSON has no (nan|-?inf)"):
        sent(function, value, form="json")


def test_the_keys_of_a_record_must_be_texts() -> None:
    for value in ({1: 2}, {"a": 1, 2: [3]}):
        with pytest.raises(ArgumentsError, match="argument 'x' does not fit: Expected `str`"):
            sent(record, value)
    once_mixed: dict[Any, Any] = {"a": 1, 2: 3}
    del once_mixed[2]
    assert sent(record, once_mixed) == {"a": 1}


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)
ODD = st.sampled_from([{1}, (1,), Decimal(1), Colour.RED, date(2030, 1, 1), UUID(int=1), bytearray(b"")])


@given(PLAIN)
def test_any_plain_value_arrives_equal(value: Any) -> None:
    assert sent(untyped, value) == value


@given(st.lists(st.sampled_from(["list", "dict"]), max_size=4), PLAIN, ODD)
def test_an_odd_value_is_found_however_deep_it_lies(way: list[str], beside: Any, odd: Any) -> None:
    value = odd
    for step in way:
        value = [beside, value] if step == "list" else {"beside": beside, "odd": value}
    for form in FORMS:
        with pytest.raises(ArgumentsError, match=f"is of type {type(odd).__name__} and would arrive as"):
            sent(untyped, value, form=form)


@dataclass
class Batch:
    lines: list[int] = field(default_factory=list)
    extra: Any = None


def batch(x: Batch) -> None: ...


@pytest.mark.parametrize("form", FORMS)
def test_a_dict_that_stands_for_an_object_may_leave_out_what_has_a_default(form: Form) -> None:
    """As a shell or another language gives it."""
    signature, codec = Signature("t", batch, form), Codec(format=form)
    args, _ = signature.decode(*decode_call(signature.encode(codec, [{"extra": [1]}], {})))
    assert args == [Batch(extra=[1])]
    with pytest.raises(ArgumentsError, match="extra"):
        signature.encode(codec, [{"extra": {1, 2}}], {})
