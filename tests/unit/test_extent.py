"""What is too much to be read is known without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import extent
from headway.codec import Codec, decode_call, decode_result, describe
from headway.errors import CodecError, PayloadTooLargeError
from headway.extent import MAX_VALUES, holds_too_many

if TYPE_CHECKING:
    from collections.abc import Callable

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=60,
)


def count(value: Any) -> int:
    """Count the values in a value, the keys of its maps included."""
    match value:
        case dict():
            return 1 + sum(1 + count(item) for item in value.values())
        case list():
            return 1 + sum(map(count, value))
        case _:
            return 1


@settings(deadline=None)
@given(values)
def test_values_of_messagepack_are_counted_without_reading_them(value: Any) -> None:
    body = msgspec.msgpack.encode(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extent, "MAX_VALUES", count(value))
        assert not extent._msgpack_exceeds(body)
        patch.setattr(extent, "MAX_VALUES", count(value) - 1)
        assert extent._msgpack_exceeds(body)


def bomb() -> bytes:
    """Make a record of some KB that expands to 64 Mi nils."""
    number = 64 * 1024 * 1024 - 10
    body = b"\x91\x91\xdd" + number.to_bytes(4) + b"\xc0" * number
    return b"\x12" + zstandard.ZstdCompressor().compress(body)


@pytest.mark.parametrize("read", [decode_call, decode_result, describe])
def test_a_record_that_expands_to_millions_of_nils_is_refused(read: Callable[[bytes], object]) -> None:
    with pytest.raises(CodecError, match="more than 1,000,000 values"):
        read(bomb())


def test_what_no_worker_would_read_is_not_written() -> None:
    many = [None] * (MAX_VALUES + 1)
    with pytest.raises(PayloadTooLargeError, match="more than 1,000,000 values"):
        Codec(compress=True).encode_call("t", [many], {})
    for form in ("json", "msgpack"):
        with pytest.raises(PayloadTooLargeError, match="more than 1,000,000 values"):
            Codec(format=form, limit=1 << 30).encode_result("t", many)


def test_text_is_no_value_whatever_stands_in_it() -> None:
    text = '[{,\\"' * 500_000
    assert not holds_too_many(msgspec.json.encode([text]), json=True)
    assert not holds_too_many(msgspec.msgpack.encode([text]), json=False)
    assert holds_too_many(msgspec.json.encode([1] * (MAX_VALUES + 1)), json=True)
