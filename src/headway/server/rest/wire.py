"""Values as JSON, and JSON as values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from headway.clock import duration_ms
from headway.codec import to_builtin
from headway.extent import holds_too_many
from headway.job import JobId, is_job_id
from headway.server.services.problems import InvalidError, MalformedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_encoder: Final = msgspec.json.Encoder(enc_hook=to_builtin)
_MOST_PARAMETERS: Final = 100
_WHOLE_FLOAT: Final = "Expected `int`, got `float`"


def to_json(value: object) -> bytes:
    """Return a value as JSON, whatever numbers and texts jobs brought along."""
    try:
        return _encoder.encode(value)
    except (
        OverflowError,
        UnicodeEncodeError,
        ValueError,
    ):  # an integer beyond 64 bits, half of a surrogate pair
        return json.dumps(msgspec.to_builtins(value, enc_hook=to_builtin, str_keys=True)).encode()


def decoder_of(kind: type[T]) -> Callable[[bytes], T]:
    """Return what reads a body of JSON; it raises MalformedError."""
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> T:
        if holds_too_many(body, json=True):
            msg = "the body holds too many values"
            raise MalformedError(msg)
        try:
            try:
                return decode(body)
            except msgspec.ValidationError as error:
                if _WHOLE_FLOAT not in str(error):
                    raise
                return decode(_with_whole_numbers(body))
        except (msgspec.MsgspecError, ValueError) as error:
            msg = f"body: {error}"
            raise MalformedError(msg) from error
        except RecursionError as error:
            msg = "body: nested too deeply"
            raise MalformedError(msg) from error

    return read


def query_reader(kind: type[Struct]) -> Callable[[bytes], Any]:
    """Return what reads a query string as the fields of a struct; it raises MalformedError.

    A field that holds several values is given several times, or with commas.
    """
    fields = {one.encode_name: one for one in msgspec.structs.fields(kind)}
    several = {name for name, one in fields.items() if _is_several(one.type)}
    instants = {name for name, one in fields.items() if _takes(one.type, msgspec.inspect.DateTimeType)}
    texts = {name for name, one in fields.items() if _takes(one.type, msgspec.inspect.StrType)}

    def read(query: bytes) -> Any:  # noqa: ANN401 - a struct of that kind
        values: dict[str, Any] = {}
        try:
            pairs = parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MOST_PARAMETERS,
            )
        except ValueError as error:
            msg = "query: is not percent-encoded UTF-8, or has too many parameters"
            raise MalformedError(msg) from error
        for name, value in pairs:
            if name not in fields:
                known = ", ".join(fields) or "none"
                msg = f"query: there is no parameter {name[:60]!r}; there are: {known}"
                raise MalformedError(msg)
            if name in several:
                values.setdefault(name, []).extend(one for one in value.split(",") if one)
            elif name not in texts and value.lower() == "null":  # which msgspec would take for None
                msg = f"query: {name} cannot be null: leave it out"
                raise MalformedError(msg)
            elif name in instants and "-" not in value[1:]:  # a number, which msgspec would take for seconds
                msg = f"query: {name} must be an instant such as 2030-01-31T09:00:00Z"
                raise MalformedError(msg)
            elif name in values:
                msg = f"query: {name} is given twice"
                raise MalformedError(msg)
            else:
                values[name] = value
        try:
            return msgspec.convert(values, kind, strict=False)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            msg = f"query: {error}"
            raise MalformedError(msg) from error

    return read


def job_id_of(text: str) -> JobId:
    """Return a job's id; NotFoundError for a text that can be none."""
    if not is_job_id(text):
        msg = f"{text[:60]!r} is no job's id: those have 20 letters and digits"
        raise NotFoundError(msg)
    return JobId(text)


def milliseconds(given: float | str, what: str) -> int:
    """Return a duration in ms; InvalidError."""
    try:
        found = duration_ms(given, what)
    except (TypeError, ValueError) as error:
        raise InvalidError(str(error)) from error
    if found < 0:
        msg = f"{what}: must not be negative, got {given!r}"
        raise InvalidError(msg)
    return found


def _with_whole_numbers(body: bytes) -> bytes:
    """Return the body with 7.0 as 7: in JSON both are the same number, and some languages know no other."""
    return json.dumps(json.loads(body, parse_float=_whole)).encode()


def _whole(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _takes(kind: Any, wanted: type[msgspec.inspect.Type]) -> bool:  # noqa: ANN401 - any annotation
    found = msgspec.inspect.type_info(kind)
    parts = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    return any(isinstance(one, wanted) for one in parts)


def _is_several(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return getattr(kind, "__origin__", None) in {tuple, list}
