"""How values become bytes: a versioned envelope around MessagePack or JSON, optionally compressed; never pickle.

The first byte of an envelope says how to read the rest: the high four bits are the version (1), bit 0 means JSON
instead of MessagePack, bit 1 means compressed with Zstandard. Bit 2, alone, means that the rest is a reference to an
envelope that lies in the offload store (`offload.py`). Stored bytes are hostile input: whatever cannot be read raises
CodecError.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from msgspec import Raw, Struct

from headway.compression import MAX_EXPANDED, compressor, expand
from headway.errors import CodecError, PayloadTooLargeError, SerialisationError
from headway.extent import MAX_VALUES, holds_too_many
from headway.job import AttemptError
from headway.raised import message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Format = Literal["msgpack", "json"]

_VERSION: Final = 1
_JSON: Final = 1
_ZSTD: Final = 2
PLAIN_HEAD: Final = bytes([_VERSION << 4])
"""The first byte of an envelope in MessagePack, neither compressed nor offloaded."""
REFERENCE: Final = _VERSION << 4 | 4
_REFERENCE_HEAD: Final = bytes([REFERENCE])


class Call(Struct, array_like=True, frozen=True):
    """What a task is called with. `timeout_ms` overrides the task's own limit when it is not 0."""

    args: list[Raw] = []
    kwargs: dict[str, Raw] = {}
    headers: dict[str, str] = {}
    timeout_ms: int = 0


class Codec:
    """Encodes calls and results in one format; decodes every format."""

    def __init__(
        self,
        *,
        format: Format = "msgpack",  # noqa: A002 - the setting's name
        compress: bool = False,
        compress_over: int = 1024,
        limit: int = 256 * 1024,
        limit_name: str = "payload_limit",
    ) -> None:
        """`compress_over` and `limit` are bytes of an encoded payload; compression needs the extra `zstd`."""
        self.format: Final[Format] = format
        self._flags = _VERSION << 4 | (_JSON if format == "json" else 0)
        self._head = bytes([self._flags])
        self._encode: Callable[[Any], bytes] = (
            _encode_json if format == "json" else msgspec.msgpack.Encoder(enc_hook=to_builtin).encode
        )
        self._compress: Callable[[bytes], bytes] | None = compressor() if compress else None
        self._compress_over = compress_over
        self.limit = limit
        self._limit_name = limit_name
        self._may_be_long = compress or limit > MAX_VALUES  # an encoded call, before it is compressed

    def encode_call(  # noqa: PLR0917 - by their places: every enqueue comes along here
        self,
        task: str,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
        timeout_ms: int = 0,
        names: Sequence[str] = (),
    ) -> bytes:
        """Encode a call of the task; SerialisationError and PayloadTooLargeError name the task and the argument.

        `names` are those of the positional arguments, as far as they have one.
        """
        fields: tuple[object, ...]
        if timeout_ms or headers:
            fields = (args, kwargs, headers or {}, timeout_ms)
        else:
            fields = (args, kwargs) if kwargs else (args,)
        try:
            body = self._encode(fields)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise self._culprit(task, _named(names, args, kwargs), error) from error
        payload = self._head + body if self._compress is None else self._frame(body)
        if len(payload) > self.limit:
            name, size = max(
                ((name, self._size(value)) for name, value in _named(names, args, kwargs)),
                key=_second,
                default=("headers", 0),
            )
            msg = (
                f"task {task!r}: the encoded call has {len(payload)} bytes, the limit is {self.limit} "
                f"(largest argument: {name}, {size} bytes). "
                f"Pass a reference to stored data, or raise {self._limit_name}."
            )
            raise PayloadTooLargeError(msg)
        if self._may_be_long and self._holds_too_many(body):
            msg = f"task {task!r}: the call holds more than {MAX_VALUES:,} values; pass a reference to stored data"
            raise PayloadTooLargeError(msg)
        return payload

    def encode_result(self, task: str, value: object) -> bytes:
        """Encode what a handler returned; None becomes no bytes at all."""
        if value is None:
            return b""
        try:
            body = self._encode(value)
            payload = self._frame(body)
        except Exception as error:
            # Also whatever a model raises when it is asked for its fields.
            what = message_of(error)
            msg = f"task {task!r}: its result of type {type(value).__name__} cannot be written: {what}"
            raise SerialisationError(msg) from error
        if self._holds_too_many(body):
            msg = f"task {task!r}: its result holds more than {MAX_VALUES:,} values"
            raise PayloadTooLargeError(msg)
        if len(payload) > self.limit:
            msg = f"task {task!r}: its encoded result has {len(payload)} bytes, {self._limit_name} is {self.limit}"
            raise PayloadTooLargeError(msg)
        return payload

    def _holds_too_many(self, body: bytes) -> bool:
        return holds_too_many(body, json=bool(self._flags & _JSON))

    def _frame(self, body: bytes) -> bytes:
        if self._compress is not None and self._compress_over < len(body) <= MAX_EXPANDED:
            packed = self._compress(body)
            if len(packed) < len(body):
                return bytes([self._flags | _ZSTD]) + packed
        return self._head + body

    def _size(self, value: object) -> int:
        return len(self._encode(value))

    def _culprit(self, task: str, named: list[tuple[str, object]], error: Exception) -> SerialisationError:
        for name, value in named:
            try:
                self._encode(value)
            except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as own:
                msg = f"task {task!r}: {name} of type {type(value).__name__} cannot be written: {own}"
                return SerialisationError(msg)
        return SerialisationError(f"task {task!r}: the call cannot be written: {error}")


def is_reference(payload: bytes) -> bool:
    """Tell whether the envelope lies in the offload store and this is only its reference."""
    return payload[:1] == _REFERENCE_HEAD


def decode_call(payload: bytes) -> tuple[Call, Format]:
    """Read an encoded call; its arguments stay raw, in the format that is returned beside it."""
    body, name = _open(payload)
    try:
        if name == "json":
            return _JSON_CALL.decode(body), name
        return _MSGPACK_CALL.decode(body), name
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        msg = f"the encoded call is damaged: {error}"
        raise CodecError(msg) from error


def decode_result(payload: bytes, kind: Any = Any) -> Any:  # noqa: ANN401 - any type, any value of it
    """Read an encoded result as `kind`; CodecError when it is damaged or is no `kind`."""
    if not payload:
        return None
    body, name = _open(payload)
    try:
        if name == "json":
            return msgspec.json.decode(body, type=kind, dec_hook=from_builtin)
        return msgspec.msgpack.decode(body, type=kind, dec_hook=from_builtin)
    except Exception as error:
        # Also whatever a model's own validation raises.
        msg = f"the encoded result is damaged or does not fit {kind!r}: {error}"
        raise CodecError(msg) from error


def encode_history(errors: Sequence[AttemptError]) -> bytes:
    """Encode the errors of a job's attempts, oldest first."""
    return _ENCODE_HISTORY(errors) if errors else b""


def decode_history(history: bytes) -> list[AttemptError]:
    """Read the errors of a job's attempts; damaged bytes read as no errors, since they are only a report."""
    if not history:
        return []
    try:
        return _DECODE_HISTORY(history)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []


def argument_decoder(kind: Any, name: Format) -> Callable[[Raw], Any]:  # noqa: ANN401 - any type
    """Return what reads one raw argument as `kind`."""
    if name == "json":
        return msgspec.json.Decoder(kind, dec_hook=from_builtin).decode
    return msgspec.msgpack.Decoder(kind, dec_hook=from_builtin).decode


def expanded_size(payload: bytes) -> int:
    """Return how many bytes an encoded call or result has once it is expanded; CodecError when it is damaged."""
    return len(_open(payload)[0])


def describe(payload: bytes) -> dict[str, Any]:
    """Return a call as plain values, for people: args, kwargs and headers; CodecError when it is damaged."""
    call, name = decode_call(payload)
    read = argument_decoder(Any, name)
    try:
        shown: dict[str, Any] = {
            "args": [read(raw) for raw in call.args],
            "kwargs": {key: read(raw) for key, raw in call.kwargs.items()},
        }
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        msg = f"the encoded call is damaged: {error}"
        raise CodecError(msg) from error
    if call.headers:
        shown["headers"] = call.headers
    return shown


def _open(payload: bytes) -> tuple[bytes | memoryview, Format]:
    if not payload:
        msg = "the envelope is empty"
        raise CodecError(msg)
    first = payload[0]
    if first == REFERENCE:
        msg = "the payload is offloaded and has to be fetched before it can be read"
        raise CodecError(msg)
    if first >> 4 != _VERSION or first & ~(_VERSION << 4 | _JSON | _ZSTD):
        msg = f"envelope byte {first:#04x} is unknown: damaged, or written by a newer Headway"
        raise CodecError(msg)
    body: bytes | memoryview = memoryview(payload)[1:]
    if first & _ZSTD:
        body = expand(payload[1:])
    if holds_too_many(body, json=bool(first & _JSON)):
        msg = f"the payload holds more than {MAX_VALUES:,} values"
        raise CodecError(msg)
    return body, "json" if first & _JSON else "msgpack"


def _named(
    names: Sequence[str], args: Sequence[object], kwargs: Mapping[str, object]
) -> list[tuple[str, object]]:
    return [
        (f"argument {names[n]!r}" if n < len(names) else f"argument {n + 1}", value)
        for n, value in enumerate(args)
    ] + [(f"argument {name!r}", value) for name, value in kwargs.items()]


def _second(pair: tuple[str, int]) -> int:
    return pair[1]


def to_builtin(value: object) -> object:
    """Let models of pydantic (or of anything with the same method) through as their fields."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    msg = f"objects of type {type(value).__name__} are not supported"
    raise TypeError(msg)


def from_builtin(kind: type, value: Any) -> Any:  # noqa: ANN401 - any type, any value of it
    """Build a model of pydantic (or of anything with the same method) from its fields."""
    validate = getattr(kind, "model_validate", None)
    if callable(validate):
        return validate(value)
    if isinstance(value, kind):
        return value
    msg = f"values of type {kind.__name__} cannot be read"
    raise TypeError(msg)


def _encode_json(value: object) -> bytes:
    """Encode as JSON; ValueError for a number that it does not have, which would become null without a word."""
    encoded = _JSON_ENCODER.encode(value)
    if b"null" in encoded:
        _refuse_lost_number(msgspec.to_builtins(value, enc_hook=to_builtin))
    return encoded


def _refuse_lost_number(value: Any) -> None:  # noqa: ANN401 - any value
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"JSON has no {value}: pass None, or let the setting format be msgpack"
            raise ValueError(msg)
    elif isinstance(value, dict):
        for key, item in cast("dict[object, object]", value).items():
            _refuse_lost_number(key)
            _refuse_lost_number(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in cast("list[object]", value):
            _refuse_lost_number(item)


_JSON_ENCODER: Final = msgspec.json.Encoder(enc_hook=to_builtin)
_MSGPACK_CALL: Final = msgspec.msgpack.Decoder(Call)
_JSON_CALL: Final = msgspec.json.Decoder(Call)
_ENCODE_HISTORY: Final = msgspec.msgpack.Encoder().encode
_DECODE_HISTORY: Final = msgspec.msgpack.Decoder(list[AttemptError]).decode
