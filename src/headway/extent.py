"""How many values an encoded text or record holds, without reading it: a nil of one byte becomes an object of many."""

from __future__ import annotations

import re
from typing import Final

MAX_VALUES: Final = 1_000_000
"""Values in one call or result; read, they take about 100 MB at most."""

_JSON_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_JSON_VALUES: Final = (b",", b"[", b"{")
# MessagePack: bytes of a value by its first byte; where its length stands in the record, that is added.
_FIXED: Final = {
    **dict.fromkeys((0xC0, 0xC1, 0xC2, 0xC3), 1),
    **dict.fromkeys((0xCC, 0xD0), 2),
    **dict.fromkeys((0xCD, 0xD1, 0xD4, 0xDC, 0xDE), 3),
    **dict.fromkeys((0xCA, 0xCE, 0xD2, 0xDD, 0xDF), 5),
    **dict.fromkeys((0xCB, 0xCF, 0xD3), 9),
    0xD5: 4,
    0xD6: 6,
    0xD7: 10,
    0xD8: 18,
}
_SIZED: Final = {0xC4: (1, 2), 0xC5: (2, 3), 0xC6: (4, 5), 0xC7: (1, 3), 0xC8: (2, 4), 0xC9: (4, 6),
    0xD9: (1, 2), 0xDA: (2, 3), 0xDB: (4, 5)}  # fmt: skip


def holds_too_many(body: bytes | memoryview, *, json: bool) -> bool:
    """Tell whether it holds more than `MAX_VALUES` values; at once for what has not so many bytes."""
    if len(body) <= MAX_VALUES:
        return False
    return _json_exceeds(bytes(body)) if json else _msgpack_exceeds(bytes(body))


def _json_exceeds(body: bytes) -> bool:
    if sum(map(body.count, _JSON_VALUES)) <= MAX_VALUES:
        return False
    bare = _JSON_TEXT.sub(b"", body)  # what stands in texts is none
    return sum(map(bare.count, _JSON_VALUES)) > MAX_VALUES


def _msgpack_exceeds(body: bytes) -> bool:
    at, end, left = 0, len(body), MAX_VALUES
    while at < end:
        if not left:
            return True
        left -= 1
        first = body[at]
        if first < 0xA0 or first >= 0xE0:  # noqa: PLR2004 - small numbers, and heads of maps and arrays
            at += 1
        elif first < 0xC0:  # noqa: PLR2004 - short texts
            at += 1 + (first & 0x1F)
        elif first in _SIZED:
            width, head = _SIZED[first]
            at += head + int.from_bytes(body[at + 1 : at + 1 + width])
        else:
            at += _FIXED[first]
    return False
