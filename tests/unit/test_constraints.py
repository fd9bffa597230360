"""Constraints of annotations hold when a job is enqueued, whoever's they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types
import msgspec
import pydantic
import pytest
from pydantic import Field
from typing_extensions import TypedDict

from headway.app.signature import Signature
from headway.codec import Codec, decode_call
from headway.errors import ArgumentsError, DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable

Positive = Annotated[int, msgspec.Meta(ge=1)]


@dataclass
class Order:
    n: Positive


@dataclass
class Basket:
    n: Annotated[int, Field(ge=1)]
    at: datetime


class Line(msgspec.Struct):
    n: Positive


class Lines(TypedDict):
    n: Annotated[int, Field(ge=1)]


class Model(pydantic.BaseModel):
    n: Annotated[int, Field(ge=1)]
    word: str = Field(default="x", max_length=3)
    at: datetime = datetime(2030, 1, 1, tzinfo=UTC)


class Checked(pydantic.BaseModel):
    low: int
    high: int

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> Checked:
        if self.low > self.high:
            msg = "low is above high"
            raise ValueError(msg)
        return self


class Mixed(msgspec.Struct):
    n: Annotated[int, Field(ge=1)]


def meta(x: Positive) -> None: ...
def meta_optional(x: Positive | None) -> None: ...
def meta_list(x: list[Positive]) -> None: ...
def meta_length(x: Annotated[str, msgspec.Meta(max_length=3)]) -> None: ...
def meta_dict(x: Annotated[dict[str, Any], msgspec.Meta(max_length=1)]) -> None: ...
def in_dataclass(x: Order) -> None: ...
def in_struct(x: Line) -> None: ...
def field_of_pydantic(x: Annotated[int, Field(ge=1)]) -> None: ...
def plain_constraint(x: Annotated[int, annotated_types.Gt(0)]) -> None: ...
def positive(x: pydantic.PositiveInt) -> None: ...
def nested(x: dict[str, list[pydantic.PositiveInt]]) -> None: ...
def even(x: Annotated[int, pydantic.AfterValidator(lambda n: n if n % 2 == 0 else 1 // 0)]) -> None: ...
def basket(x: Basket) -> None: ...
def baskets(x: list[Basket]) -> None: ...
def lines(x: Lines) -> None: ...
def model(x: Model) -> None: ...
def models(x: list[Model]) -> None: ...
def checked(x: Checked) -> None: ...
def any_number(*x: Positive) -> None: ...
def any_name(**x: pydantic.PositiveInt) -> None: ...
def described(x: Annotated[int, "how many"]) -> None: ...
def mixed(x: Mixed) -> None: ...


NOW = datetime(2030, 1, 1, tzinfo=UTC)
CASES: list[tuple[Callable[..., Any], Any, Any]] = [
    (meta, 1, 0),
    (meta_optional, None, 0),
    (meta_list, [1, 2], [1, 0]),
    (meta_length, "abc", "abcd"),
    (meta_dict, {"a": 1}, {"a": 1, "b": 2}),
    (in_dataclass, Order(1), Order(0)),
    (in_struct, Line(1), Line(0)),
    (field_of_pydantic, 1, 0),
    (plain_constraint, 1, 0),
    (positive, 1, 0),
    (nested, {"a": [1]}, {"a": [1, 0]}),
    (basket, Basket(1, NOW), Basket(0, NOW)),
    (baskets, [Basket(1, NOW)], [Basket(1, NOW), Basket(0, NOW)]),
    (lines, {"n": 1}, {"n": 0}),
    (model, Model(n=1), Model.model_construct(n=0)),
    (models, [Model(n=1)], [Model.model_construct(n=1, word="long")]),
    (checked, Checked(low=1, high=2), Checked.model_construct(low=2, high=1)),
    (any_number, 1, 0),
]


def sent(function: Callable[..., Any], *args: Any, form: Any = "msgpack", **kwargs: Any) -> Any:
    signature = Signature("t", function, form)
    codec = Codec(format=form)
    got: list[Any] = []
    more: dict[str, Any] = {}
    for _ in range(2):
        payload = signature.encode(codec, args, kwargs)
        got, more = signature.decode(*decode_call(payload))
        whole = signature.decode_positional(payload)
        assert whole is None or list(whole.args) == got
    return [*got, *more.values()][0]


@pytest.mark.parametrize("form", ["msgpack", "json"])
@pytest.mark.parametrize(("function", "fits", "wrong"), CASES)
def test_a_constraint_holds_at_enqueue(
    function: Callable[..., Any], fits: Any, wrong: Any, form: str
) -> None:
    assert sent(function, fits, form=form) == fits
    with pytest.raises(ArgumentsError, match="task 't': argument 'x' does not fit: "):
        sent(function, wrong, form=form)


@pytest.mark.parametrize("form", ["msgpack", "json"])
def test_it_holds_by_keyword_too(form: str) -> None:
    assert sent(field_of_pydantic, x=1, form=form) == 1
    assert sent(any_name, a=1, form=form) == 1
    with pytest.raises(ArgumentsError, match="argument 'x' does not fit"):
        sent(field_of_pydantic, x=0, form=form)
    with pytest.raises(ArgumentsError, match="argument 'a' does not fit"):
        sent(any_name, a=0, form=form)


def test_a_type_is_as_strict_as_without_the_constraint() -> None:
    for wrong in ("1", True, 1.0):
        with pytest.raises(ArgumentsError, match="argument 'x' does not fit: Expected `int`"):
            sent(field_of_pydantic, wrong)


def test_whatever_a_validator_raises_is_an_arguments_error() -> None:
    assert sent(even, 2) == 2
    with pytest.raises(ArgumentsError, match=r"argument 'x' does not fit: .*division"):
        sent(even, 1)


def test_annotations_that_are_no_constraints_are_left_alone() -> None:
    assert sent(described, 0) == 0


def test_a_constraint_that_nothing_checks_is_refused_at_the_declaration() -> None:
    with pytest.raises(
        DeclarationError, match=r"parameter 'x' is a Mixed, in which nothing checks .*msgspec\.Meta"
    ):
        Signature("t", mixed)


def test_without_pydantic_its_constraints_are_refused_at_the_declaration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydantic", None)
    with pytest.raises(
        DeclarationError, match=r"parameter 'x' has the constraint .*install it, or write msgspec"
    ):
        Signature("t", plain_constraint)
