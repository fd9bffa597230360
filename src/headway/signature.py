"""What a task's function takes and returns: checked when a job is enqueued, decoded when it runs."""

from __future__ import annotations

import inspect
import math
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, get_type_hints

import msgspec

from headway.codec import PLAIN_HEAD, Codec, argument_decoder, decode_call, from_builtin
from headway.context import Context
from headway.errors import ArgumentsError, CodecError, DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.codec import Call, Format

_EXACT: Final = frozenset({int, str, float, bool, bytes})
_PLAIN_KINDS: Final = (Any, *_EXACT)
_MAX_SHAPES: Final = 64  # a parameter that takes anything has as many types as there are
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class PositionalCall(Protocol):
    """A call whose arguments are read already; as `codec.Call`."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, msgspec.Raw]
    headers: dict[str, str]
    timeout_ms: int


class Signature:
    """The parameters of one function, without its Context, and the type of its result."""

    def __init__(self, task: str, function: Callable[..., Any]) -> None:
        """Read the function; DeclarationError when the codec could never read an annotated parameter."""
        self.task = task
        parameters = list(inspect.signature(function).parameters.values())
        hints = _hints(function)
        self.takes_context = bool(parameters) and _is_context(
            hints.get(parameters[0].name, parameters[0].annotation)
        )
        if self.takes_context:
            parameters = parameters[1:]
        self.result_type: Any = hints.get("return", Any)
        self._positional = [p.name for p in parameters if p.kind in _POSITIONAL]
        self._by_name = frozenset(
            p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        )
        self._required = [
            p.name
            for p in parameters
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        self._varargs = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self._varkwargs = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._types: dict[str, Any] = {}
        for p in parameters:
            if _is_context(hints.get(p.name, p.annotation)):
                msg = f"task {task!r}: the Context must be the first parameter, not {p.name!r}"
                raise DeclarationError(msg)
            kind = hints.get(p.name, Any)
            self._types[p.name] = kind
            self._check_readable(p.name, kind)
        # An annotation that is no exact built-in type never is the type of a value: such calls need the decoder.
        self._positional_kinds = [
            self._types[name] if self._types[name] in _PLAIN_KINDS else None for name in self._positional
        ]
        # Types of positional arguments that fit whatever their values: the next such call is not looked at.
        self._shapes: set[tuple[type, ...]] = set()
        self._decoders: dict[tuple[str, Format], Callable[[msgspec.Raw], Any]] = {}
        self._needs_names = not set(self._required) <= set(self._positional)
        self._whole: Callable[[bytes | memoryview], PositionalCall] | None = None

    def encode(
        self,
        codec: Codec,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
        timeout_ms: int = 0,
    ) -> bytes:
        """Check the arguments and encode the call; the errors name the argument that does not fit."""
        shape = tuple(map(type, args))
        if shape in self._shapes and not kwargs:
            return codec.encode_call(self.task, args, kwargs, headers, timeout_ms)
        self._bind(args, kwargs)
        payload = codec.encode_call(self.task, args, kwargs, headers, timeout_ms)
        if not self._plainly_fits(args, kwargs):
            # What the worker will do, done here once: so a wrong type is refused before anything is written.
            try:
                self.decode(*decode_call(payload))
            except CodecError as error:
                raise ArgumentsError(str(error)) from error
        elif not kwargs and float not in shape and len(self._shapes) < _MAX_SHAPES:
            # Of a float the value counts, too.
            self._shapes.add(shape)
        return payload

    def decode_positional(self, payload: bytes) -> PositionalCall | None:
        """Read a call that gives each positional parameter by its place, in one go: the common case.

        None for any other call, sound or not: `decode` reads it, or says what is wrong with it.
        """
        if self._needs_names or payload[:1] != PLAIN_HEAD:
            return None
        decode = self._whole
        if decode is None:
            decode = self._whole = self._whole_decoder()
        try:
            call = decode(memoryview(payload)[1:])
        except Exception:  # noqa: BLE001 - also whatever a model's own validation raises
            return None
        return None if call.kwargs else call

    def _whole_decoder(self) -> Callable[[bytes | memoryview], PositionalCall]:
        kinds: Any = tuple(self._types[name] for name in self._positional)
        shape: Any = msgspec.defstruct(
            "WholeCall",
            [
                ("args", tuple[kinds]),
                ("kwargs", dict[str, msgspec.Raw], {}),
                ("headers", dict[str, str], {}),
                ("timeout_ms", int, 0),
            ],
            array_like=True,
            frozen=True,
        )
        return cast(
            "Callable[[bytes | memoryview], PositionalCall]",
            msgspec.msgpack.Decoder(shape, dec_hook=from_builtin).decode,
        )

    def decode(self, call: Call, name: Format) -> tuple[list[Any], dict[str, Any]]:
        """Read the raw arguments by their annotated types; CodecError names the argument that does not fit."""
        try:
            self._bind(call.args, call.kwargs)
        except ArgumentsError as error:
            raise CodecError(str(error)) from error
        args: list[Any] = []
        positional = self._positional
        for n, raw in enumerate(call.args):
            args.append(self._read(positional[n] if n < len(positional) else self._varargs or "", raw, name))
        kwargs = {
            key: self._read(key if key in self._by_name else self._varkwargs or "", raw, name, key)
            for key, raw in call.kwargs.items()
        }
        return args, kwargs

    def _read(self, parameter: str, raw: msgspec.Raw, name: Format, shown: str = "") -> Any:  # noqa: ANN401
        decoder = self._decoders.get((parameter, name))
        if decoder is None:
            decoder = argument_decoder(self._types.get(parameter, Any), name)
            self._decoders[parameter, name] = decoder
        try:
            return decoder(raw)
        except Exception as error:
            # Also whatever a model's own validation raises.
            msg = f"task {self.task!r}: argument {shown or parameter!r} does not fit: {error}"
            raise CodecError(msg) from error

    def _plainly_fits(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
        """Tell at once for exact built-in types, the common case; anything else needs the decoder."""
        kinds = self._positional_kinds
        if len(args) > len(kinds):
            return False
        # Loops, not all(): a generator costs more than what it would look at.
        for kind, value in zip(kinds, args, strict=False):
            if type(value) is not kind and kind is not Any:
                return False
            if kind is float and not math.isfinite(cast("float", value)):
                return False  # JSON has no NaN and no infinity
        types = self._types
        return not kwargs or all(_plain(types.get(name), value) for name, value in kwargs.items())

    def _bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        positional = self._positional
        given = len(args)
        if given > len(positional) and self._varargs is None:
            msg = f"task {self.task!r} takes {len(positional)} positional arguments, {given} were given"
            raise ArgumentsError(msg)
        for name in kwargs:
            if name in self._by_name:
                if name in positional[:given]:
                    msg = f"task {self.task!r}: argument {name!r} was given twice"
                    raise ArgumentsError(msg)
            elif self._varkwargs is None:
                msg = f"task {self.task!r} has no parameter {name!r}"
                raise ArgumentsError(msg)
        for name in self._required:
            # A positional-only name among the keywords goes to **kwargs, in Python as here.
            if name not in positional[:given] and not (name in kwargs and name in self._by_name):
                msg = f"task {self.task!r}: argument {name!r} is missing"
                raise ArgumentsError(msg)

    def _check_readable(self, parameter: str, kind: Any) -> None:  # noqa: ANN401 - any annotation
        if kind is Any or kind in _EXACT:
            return
        try:
            info = msgspec.inspect.type_info(kind)
        except Exception as error:
            msg = (
                f"task {self.task!r}: parameter {parameter!r} has a type that the codec cannot read: {error}"
            )
            raise DeclarationError(msg) from error
        if isinstance(info, msgspec.inspect.CustomType) and not hasattr(info.cls, "model_validate"):
            msg = (
                f"task {self.task!r}: parameter {parameter!r} is a {info.cls.__name__}, which is no data; "
                "use built-in types, dataclasses, msgspec structs or pydantic models"
            )
            raise DeclarationError(msg)


def _plain(kind: Any, value: object) -> bool:  # noqa: ANN401 - any annotation
    if kind is Any:
        return True
    # JSON has no NaN and no infinity.
    return (
        type(value) is kind and kind in _EXACT and (kind is not float or math.isfinite(cast("float", value)))
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Type hints, each on its own: one name that only a type checker can see must not hide the others."""
    try:
        return _with_any(get_type_hints(function))
    except Exception:  # noqa: BLE001, S110 - an annotation may raise anything; each is tried alone below
        pass
    inner = inspect.unwrap(function)
    scope = {**vars(sys.modules.get(inner.__module__, inspect)), "Context": Context}
    found: dict[str, Any] = {}
    for name, annotation in getattr(inner, "__annotations__", {}).items():
        try:
            found[name] = eval(annotation, scope) if isinstance(annotation, str) else annotation  # noqa: S307 - the author's own
        except Exception:  # noqa: BLE001 - unknown here: not checked at run time
            found[name] = Context if _is_context(annotation) else Any
    return _with_any(found)


def _with_any(hints: dict[str, Any]) -> dict[str, Any]:
    return {name: Any if kind is object else kind for name, kind in hints.items()}


def _is_context(annotation: object) -> bool:
    return annotation is Context or (
        isinstance(annotation, str) and annotation.rpartition(".")[2] == "Context"
    )
