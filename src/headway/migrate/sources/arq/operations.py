"""How each operation of a pickle is read: as `pickletools` does, but from bytes, and the common ones in one step.

What is rare is left to the reader that the standard library has for it.
"""

from __future__ import annotations

import io
import pickletools
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Reader: TypeAlias = "Callable[[bytes, int], tuple[Any, int]]"
"""Reads an argument from where it begins, and says where the next operation does."""

_BYTE: Final = 1


def _byte(data: bytes, at: int) -> tuple[int, int]:
    return data[at], at + _BYTE


def _number(form: str) -> Reader:
    shape = Struct(form)
    unpack, size = shape.unpack_from, shape.size

    def read(data: bytes, at: int) -> tuple[Any, int]:
        return unpack(data, at)[0], at + size

    return read


def _text(form: str) -> Reader:
    length = _number(form)

    def read(data: bytes, at: int) -> tuple[str, int]:
        size, at = length(data, at)
        return _part(data, at, size).decode("utf-8", "surrogatepass"), at + size

    return read


def _binary(form: str) -> Reader:
    length = _number(form)

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        size, at = length(data, at)
        return _part(data, at, size), at + size

    return read


def _part(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) != size:
        msg = f"expected {size} bytes, but only {len(part)} remain"
        raise ValueError(msg)
    return part


def _rare(reader: Callable[[Any], Any]) -> Reader:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        stream = io.BytesIO(data)  # shares the bytes
        stream.seek(at)
        return reader(stream), stream.tell()

    return read


_COMMON: Final[dict[str, Reader]] = {
    "uint1": _byte,
    "uint2": _number("<H"),
    "int4": _number("<i"),
    "uint4": _number("<I"),
    "uint8": _number("<Q"),
    "float8": _number(">d"),
    "unicodestring1": _text("<B"),
    "unicodestring4": _text("<I"),
    "unicodestring8": _text("<Q"),
    "bytes1": _binary("<B"),
    "bytes4": _binary("<I"),
    "bytes8": _binary("<Q"),
}


def _operation(opcode: Any) -> tuple[str, Reader | None]:  # noqa: ANN401 - an OpcodeInfo
    if opcode.arg is None:
        return opcode.name, None
    return opcode.name, _COMMON.get(opcode.arg.name) or _rare(opcode.arg.reader)


_KNOWN: Final = cast("Mapping[str, Any]", cast("Any", pickletools).code2op)
OPERATIONS: Final = {ord(code): _operation(opcode) for code, opcode in _KNOWN.items()}
"""By their codes: the name, and the reader of the argument where there is one."""
