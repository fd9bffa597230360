"""Signatures: what fits a task is found out when its job is enqueued, and the culprit is named."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from uuid import UUID

import pytest

from headway.app.signature import Signature
from headway.codec import Codec, decode_call
from headway.errors import ArgumentsError, CodecError, DeclarationError, SerialisationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePath

    import headway
    from headway import Context


def through(
    function: Callable[..., Any], *args: Any, codec: Codec | None = None, **kwargs: Any
) -> tuple[list[Any], dict[str, Any]]:
    """Encode as enqueue does, decode as the executor does."""
    codec = codec or Codec()
    signature = Signature("t", function, codec.format)
    return signature.decode(*decode_call(signature.encode(codec, args, kwargs)))


def mixed(a: int, b: str = "x", *, c: float = 1.0, d: bool) -> None: ...
def only_positional(a: int, b: int = 2, /) -> None: ...
def positional_and_rest(a: int, /, **rest: int) -> None: ...
def open_ended(a: int, *more: str, **rest: float) -> None: ...
def bare(a, b=None): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (mixed, [1], {"d": True}),
        (mixed, [1, "y"], {"c": 2.0, "d": False}),
        (mixed, [], {"a": 1, "b": "y", "d": True}),
        (only_positional, [1], {}),
        (open_ended, [1, "a", "b"], {"x": 1.5}),
        (positional_and_rest, [1], {"b": 2, "a": 3}),
        (bare, [[1, {"a": None}], 2.5], {}),
    ],
)
def test_a_call_that_fits_comes_through(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> None:
    assert through(function, *args, **kwargs) == (args, kwargs)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "told"),
    [
        (mixed, [], {"d": True}, "'a' is missing"),
        (mixed, [1], {}, "'d' is missing"),
        (mixed, [1, "x", 3.0], {"d": True}, "takes 2 positional arguments, 3 were given"),
        (mixed, [1], {"a": 2, "d": True}, "'a' was given twice"),
        (mixed, [1], {"d": True, "e": 1}, "no parameter 'e'"),
        (only_positional, [1], {"b": 3}, "no parameter 'b'"),
        (positional_and_rest, [], {"a": 1}, "'a' is missing"),
        (mixed, ["1"], {"d": True}, "argument 'a' does not fit"),
        (mixed, [True], {"d": True}, "argument 'a' does not fit"),
        (mixed, [1], {"d": 1}, "argument 'd' does not fit"),
        (open_ended, [1, 2], {}, "argument 'more' does not fit"),
        (open_ended, [1], {"x": "y"}, "argument 'x' does not fit"),
    ],
)
def test_a_call_that_does_not_fit_names_the_culprit(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], told: str
) -> None:
    with pytest.raises(ArgumentsError, match=f"task 't'.*{told}"):
        Signature("t", function).encode(Codec(), args, kwargs)


def test_a_stored_call_of_another_signature_is_a_codec_error() -> None:
    payload = Signature("t", lambda a, b: None).encode(Codec(), [1, 2], {})
    with pytest.raises(CodecError, match="takes 1 positional"):
        Signature("t", lambda a: None).decode(*decode_call(payload))
    typed = Signature("t", mixed)
    with pytest.raises(CodecError, match="argument 'a' does not fit"):
        typed.decode(*decode_call(Codec().encode_call("t", ["x"], {"d": True})))


class Colour(Enum):
    RED = "red"


@dataclass
class Order:
    id: int
    lines: list[str]


class Model:
    """Looks like a pydantic model."""

    def __init__(self, n: int) -> None:
        self.n = n

    def model_dump(self, *, mode: str) -> dict[str, int]:
        return {"n": self.n}

    @classmethod
    def model_validate(cls, fields: dict[str, Any]) -> Model:
        if fields["n"] < 0:
            msg = "n is negative"
            raise RuntimeError(msg)
        return cls(fields["n"])


def rich(
    order: Order,
    colour: Colour,
    at: datetime,
    every: timedelta,
    price: Decimal,
    ref: UUID,
    kind: Literal["a", "b"],
    model: Model,
    maybe: Order | None = None,
) -> None: ...


@pytest.mark.parametrize("form", ["msgpack", "json"])
def test_annotated_types_come_back_as_what_they_were(form: Any) -> None:
    values = {
        "order": Order(1, ["a"]),
        "colour": Colour.RED,
        "at": datetime(2027, 1, 1, tzinfo=UTC),
        "every": timedelta(minutes=5),
        "price": Decimal("1.10"),
        "ref": UUID(int=7),
        "kind": "b",
        "maybe": None,
    }
    _, kwargs = through(rich, codec=Codec(format=form), model=Model(3), **values)
    model = kwargs.pop("model")
    assert kwargs == values
    assert isinstance(model, Model)
    assert model.n == 3


def test_what_a_model_refuses_is_refused_at_enqueue() -> None:
    def handler(model: Model) -> None: ...

    with pytest.raises(ArgumentsError, match="argument 'model' does not fit: n is negative"):
        through(handler, Model(-1))
    with pytest.raises(ArgumentsError, match="argument 'kind' does not fit"):
        through(
            rich,
            Order(1, []),
            Colour.RED,
            datetime.now(UTC),
            timedelta(),
            Decimal(1),
            UUID(int=1),
            "c",
            Model(1),
        )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_float_that_the_format_cannot_hold_is_refused_at_enqueue(value: float) -> None:
    def handler(x: float) -> None: ...

    assert not math.isfinite(through(handler, value)[0][0])
    with pytest.raises(SerialisationError, match="argument 'x' of type float cannot be written: JSON has no"):
        through(handler, value, codec=Codec(format="json"))


def test_a_value_that_cannot_be_written_is_named() -> None:
    with pytest.raises(SerialisationError, match="argument 'a' of type object"):
        through(bare, object())


def test_the_context_is_the_first_parameter_and_none_of_the_arguments() -> None:
    def plainly(ctx: Context, a: int) -> None: ...
    def dotted(ctx: headway.Context, a: int) -> None: ...
    def late(a: int, ctx: Context) -> None: ...

    for function in (plainly, dotted):
        signature = Signature("t", function)
        assert signature.takes_context
        assert signature.decode(*decode_call(signature.encode(Codec(), [1], {}))) == ([1], {})
        with pytest.raises(ArgumentsError, match="no parameter 'ctx'"):
            signature.encode(Codec(), [1], {"ctx": 1})
    with pytest.raises(DeclarationError, match="must be the first parameter, not 'ctx'"):
        Signature("t", late)
    assert not Signature("t", mixed).takes_context


def test_names_that_only_a_type_checker_sees_do_not_hide_the_others() -> None:
    def handler(path: PurePath, n: int) -> PurePath: ...  # type: ignore[empty-body]

    assert through(handler, "a/b", 1) == (["a/b", 1], {})
    with pytest.raises(ArgumentsError, match="argument 'n' does not fit"):
        through(handler, "a/b", "x")


def test_a_context_that_only_a_type_checker_sees_is_found_by_its_name() -> None:
    module = types.ModuleType("hidden_context")
    source = "from __future__ import annotations\ndef handler(ctx: Context, a: int) -> None: ...\ndef dotted(ctx: headway.Context, a: int): ...\n"
    sys.modules[module.__name__] = module
    try:
        exec(source, module.__dict__)  # noqa: S102 - a module with names that are imported for type checkers only
        for name in ("handler", "dotted"):
            signature = Signature("t", module.__dict__[name])
            assert signature.takes_context
            with pytest.raises(ArgumentsError, match="'a' does not fit"):
                signature.encode(Codec(), ["x"], {})
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("kind", [types.ModuleType, Codec])
def test_a_parameter_that_can_never_be_read_is_refused_at_the_declaration(kind: type) -> None:
    def handler(a: int, b: Any) -> None: ...

    handler.__annotations__ = {"a": int, "b": kind}
    with pytest.raises(DeclarationError, match=f"parameter 'b' is a {kind.__name__}"):
        Signature("t", handler)


@pytest.mark.parametrize(
    "kind", [Codec, list[Codec], dict[str, Codec | None], Iterator[int], Coroutine[Any, Any, int]]
)
def test_a_result_that_can_never_be_written_is_refused_at_the_declaration(kind: Any) -> None:
    def handler() -> None: ...

    handler.__annotations__ = {"return": kind}
    with pytest.raises(DeclarationError, match=r"task 't': it returns a .*, which is no data; use built-in"):
        Signature("t", handler)


def test_a_handler_that_never_returns_is_a_task() -> None:
    def handler() -> NoReturn:
        raise OSError

    assert Signature("t", handler).result_type is Any


def test_the_result_type_is_read_from_the_annotation() -> None:
    def typed() -> list[int]: ...  # type: ignore[empty-body]
    def untyped(): ...  # type: ignore[no-untyped-def]  # noqa: ANN202

    assert Signature("t", typed).result_type == list[int]
    assert Signature("t", untyped).result_type is Any
