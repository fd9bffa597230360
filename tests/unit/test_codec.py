"""The codec: what goes in comes out, and whatever is stored can only raise CodecError."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import compression
from headway.codec import (
    Codec,
    Format,
    decode_call,
    decode_history,
    decode_result,
    describe,
    encode_history,
)
from headway.errors import CodecError, PayloadTooLargeError, SerialisationError
from headway.job import AttemptError

UNTIMED = settings(deadline=None)

FORMATS: list[Format] = ["msgpack", "json"]
texts = st.text(st.characters(codec="utf-8"), max_size=30)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=15,
)
codecs = st.builds(
    lambda form, compress: Codec(format=form, compress=compress, compress_over=0),
    st.sampled_from(FORMATS),
    st.booleans(),
)


@UNTIMED
@given(
    codecs,
    st.lists(values, max_size=4),
    st.dictionaries(texts, values, max_size=4),
    st.dictionaries(texts, texts, max_size=2),
    st.integers(0, 2**40),
)
def test_a_call_comes_back_as_it_went(
    codec: Codec, args: list[Any], kwargs: dict[str, Any], headers: dict[str, str], timeout_ms: int
) -> None:
    payload = codec.encode_call("t", args, kwargs, headers, timeout_ms)
    call, _ = decode_call(payload)
    assert (call.headers, call.timeout_ms) == (headers, timeout_ms)
    shown = describe(payload)
    assert shown["args"] == args
    assert shown["kwargs"] == kwargs
    assert shown.get("headers", {}) == headers


@UNTIMED
@given(codecs, values)
def test_a_result_comes_back_as_it_went(codec: Codec, value: Any) -> None:
    assert decode_result(codec.encode_result("t", value)) == value


@UNTIMED
@given(
    st.lists(
        st.builds(AttemptError, st.integers(0, 99), st.integers(0, 2**50), texts, texts, texts), max_size=5
    )
)
def test_a_history_comes_back_as_it_went(errors: list[AttemptError]) -> None:
    assert decode_history(encode_history(errors)) == errors


def reads_or_refuses(payload: bytes) -> None:
    for read in (decode_call, describe, decode_result):
        with suppress(CodecError):
            read(payload)
    decode_history(payload)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_hostile_bytes_raise_nothing_but_a_codec_error(payload: bytes) -> None:
    reads_or_refuses(payload)


@settings(deadline=None, max_examples=500)
@given(st.sampled_from([0x10, 0x11, 0x12, 0x13]), st.binary(max_size=200))
def test_hostile_bytes_behind_a_valid_first_byte_raise_nothing_but_a_codec_error(
    first: int, body: bytes
) -> None:
    reads_or_refuses(bytes([first]) + body)


@settings(deadline=None, max_examples=300)
@given(codecs, st.lists(values, max_size=3), st.data())
def test_a_damaged_call_raises_nothing_but_a_codec_error(
    codec: Codec, args: list[Any], data: st.DataObject
) -> None:
    payload = bytearray(codec.encode_call("t", args, {}))
    for place in data.draw(st.lists(st.integers(0, len(payload) - 1), max_size=4)):
        payload[place] = data.draw(st.integers(0, 255))
    reads_or_refuses(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 100_000,  # nested lists
        b"\x91\x91" + b"\x81\xa1a" * 50_000,  # nested maps
        b"\x91\x91\xdd\xff\xff\xff\xff",  # a list that claims four billion items
        b"\x91\x91\xdb\xff\xff\xff\xff",  # a text that claims four gigabytes
        b"\x91\x91\x81\x91\x01\x02",  # a map with a list as key
        b"\x91\x91\x81\x80\x02",  # a map with a map as key
        b"\x91\x91\xc7\x0c\xff" + b"\xff" * 12,  # a timestamp far outside the calendar
        b"\x91\x91\xd4\x05\x00",  # an extension type
        b"\x91\x91\xa2\xff\xfe",  # a text that is not UTF-8
        b"\x91\x91\xc1",  # a byte that MessagePack never uses
    ],
)
def test_known_attacks_on_msgpack_are_refused_or_read(body: bytes) -> None:
    reads_or_refuses(b"\x10" + body)
    reads_or_refuses(b"\x10" + body[1:])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[[" + b'{"a":' * 50_000,
        b"[[1" + b"0" * 10_000 + b"]]",
        b"[[1e999999]]",
        b'[["\\ud800"]]',
        b'[["\xff"]]',
        b"[[NaN]]",
        b"[[]] trailing",
    ],
)
def test_known_attacks_on_json_are_refused_or_read(body: bytes) -> None:
    reads_or_refuses(b"\x11" + body)
    reads_or_refuses(b"\x11" + body[1:])


@pytest.mark.parametrize("first", [0x00, 0x15, 0x18, 0x1F, 0x20, 0xFF])
def test_an_unknown_envelope_is_refused(first: int) -> None:
    with pytest.raises(CodecError, match=f"{first:#04x}"):
        decode_call(bytes([first]) + b"\x90")
    with pytest.raises(CodecError, match="empty"):
        decode_call(b"")


def test_a_bomb_is_refused_before_it_expands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_EXPANDED", 1000)
    told = zstandard.ZstdCompressor(level=19).compress(bytes(1_000_000))
    untold = zstandard.ZstdCompressor(level=19, write_content_size=False).compress(bytes(1_000_000))
    assert len(told) < 1000
    for bomb in (told, untold):
        with pytest.raises(CodecError, match="compressed payload"):
            decode_call(b"\x12" + bomb)


def test_only_what_is_long_and_shrinks_is_compressed() -> None:
    codec = Codec(compress=True, compress_over=100)
    assert codec.encode_call("t", ["a" * 50], {})[0] == 0x10
    assert codec.encode_call("t", ["a" * 500], {})[0] == 0x12
    assert len(codec.encode_call("t", ["a" * 500], {})) < 100
    noise = bytes(range(256)) * 1
    assert codec.encode_call("t", [noise], {})[0] == 0x10


def test_the_first_byte_tells_the_format() -> None:
    assert Codec(format="json").encode_call("t", [1], {}) == b"\x11[[1]]"
    assert Codec().encode_call("t", [1], {}) == b"\x10\x91\x91\x01"


def test_none_as_a_result_costs_nothing() -> None:
    assert Codec().encode_result("t", None) == b""
    assert decode_result(b"", int) is None


def test_the_limit_names_the_largest_argument() -> None:
    codec = Codec(limit=100)
    codec.encode_call("t", ["a" * 80], {})
    with pytest.raises(
        PayloadTooLargeError, match=r"task 't'.*limit is 100.*'big', 2\d\d bytes.*payload_limit"
    ):
        codec.encode_call("t", ["small"], {"big": "a" * 200})
    with pytest.raises(PayloadTooLargeError, match=r"result has \d+ bytes.*100"):
        codec.encode_result("t", "a" * 200)
    with pytest.raises(PayloadTooLargeError, match="headers"):
        codec.encode_call("t", [], {}, {"h": "x" * 200})


class Opaque:
    pass


def test_a_value_that_cannot_be_written_is_named() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for form in FORMATS:
        codec = Codec(format=form)
        for value in (Opaque(), loop, "\ud800", {Opaque(): 1}):
            with pytest.raises(SerialisationError, match=r"task 't'.*'bad' of type"):
                codec.encode_call("t", [1], {"good": 2, "bad": value})
            with pytest.raises(SerialisationError, match="argument 2 of type"):
                codec.encode_call("t", [1, value], {})
            with pytest.raises(SerialisationError, match="its result of type"):
                codec.encode_result("t", value)
    with pytest.raises(SerialisationError, match="int"):
        Codec().encode_call("t", [2**64], {})


@dataclass
class Point:
    x: int
    y: float


class Item(msgspec.Struct):
    name: str
    at: Point


class Model:
    """Has the two methods by which pydantic's models are written and read, and refuses what is no number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def model_dump(self, *, mode: str) -> dict[str, int]:
        assert mode == "json"
        return {"number": self.number}

    @classmethod
    def model_validate(cls, fields: dict[str, int]) -> Model:
        return cls(int(fields["number"]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.number == self.number

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Point, Point(1, 2.5)),
        (Item, Item("a", Point(1, 2.0))),
        (list[Point], [Point(1, 2.0)]),
        (Model, Model(7)),
        (dict[str, Model], {"a": Model(7)}),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (bytes, b"\x00\xff"),
    ],
)
def test_typed_values_come_back_as_their_type(form: Format, kind: Any, value: Any) -> None:
    assert decode_result(Codec(format=form).encode_result("t", value), kind) == value


def test_a_result_that_does_not_fit_its_type_is_a_codec_error() -> None:
    payload = Codec().encode_result("t", "text")
    with pytest.raises(CodecError, match="does not fit"):
        decode_result(payload, int)
    # Whatever a model's own validation raises.
    for fields in ({"number": "x"}, {}, 3):
        with pytest.raises(CodecError, match="does not fit"):
            decode_result(Codec().encode_result("t", fields), Model)


def test_a_number_that_json_cannot_hold_is_no_secret() -> None:
    assert math.isnan(decode_result(Codec().encode_result("t", math.nan), float))
    for value in (math.nan, [None, -math.inf], {"a": {"b": (1.0, math.inf)}}):
        with pytest.raises(SerialisationError, match=r"task 't': its result .* JSON has no -?(nan|inf)"):
            Codec(format="json").encode_result("t", value)
    assert decode_result(Codec(format="json").encode_result("t", ["null", None])) == ["null", None]
