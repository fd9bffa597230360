"""What a task's function takes and returns: checked when a job is enqueued, decoded when it runs."""

from __future__ import annotations

import inspect
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Never, NoReturn, Protocol, cast

import msgspec

from headway.app.arrival import (
    Accepted,
    Need,
    accepted,
    arrives_unchanged,
    has_untyped_parts,
    is_flat_record,
    parts_of,
    typed_change,
)
from headway.app.constraints import readable
from headway.app.hints import hints_of, is_context, sound_classes, without_extras
from headway.app.parameters import Parameters
from headway.codec import PLAIN_HEAD, Codec, argument_decoder, decode_call, decode_result, from_builtin
from headway.errors import ArgumentsError, CodecError, DeclarationError, SerialisationError
from headway.extent import MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.codec import Call, Format

_MAX_SHAPES: Final = 64  # a parameter that takes anything has as many types as there are
_NEVER: Final = (Never, NoReturn)
_TEXT: Final = frozenset({str})


class _Plan(NamedTuple):
    """The checks that a call still needs once the types of its arguments are known, by position or name."""

    untyped: tuple[int | str, ...] = ()  # must arrive as they are
    text_keys: tuple[int | str, ...] = ()  # as well, and all keys must be texts
    decode: bool = False  # the call has to be read as the worker will
    mixed: tuple[int | str, ...] = ()  # so read, and in parts untyped


class PositionalCall(Protocol):
    """A call whose arguments are read already; as `codec.Call`."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, msgspec.Raw]
    headers: dict[str, str]
    timeout_ms: int


class Signature:
    """The parameters of one function, without its Context, and the type of its result."""

    def __init__(self, task: str, function: Callable[..., Any], form: Format = "msgpack") -> None:
        """Read the function; DeclarationError when the codec can never read a parameter or write the result.

        `form` is what the app's codec writes.
        """
        self.task = task
        self._form: Format = form
        parameters = list(inspect.signature(function).parameters.values())
        hints = hints_of(function)
        self.takes_context = bool(parameters) and is_context(
            hints.get(parameters[0].name, parameters[0].annotation)
        )
        if self.takes_context:
            parameters = parameters[1:]
        returns = hints.get("return", Any)
        self.result_type: Any = Any if returns in _NEVER else without_extras(returns)
        self._checked("it returns", self.result_type)
        self._sound_results = sound_classes(self.result_type)
        self._may_be_none = self._sound_results is None or NoneType in self._sound_results
        self.parameters = Parameters(task, parameters)
        self._positional = self.parameters.positional
        self._types: dict[str, Any] = {}
        self._infos: dict[str, msgspec.inspect.Type] = {}
        self._accepts: dict[str, Accepted] = {}
        for p in parameters:
            if is_context(hints.get(p.name, p.annotation)):
                msg = f"task {task!r}: the Context must be the first parameter, not {p.name!r}"
                raise DeclarationError(msg)
            kind = hints.get(p.name, Any)
            info = self._infos[p.name] = self._checked(f"parameter {p.name!r} is", kind)
            read_as = self._types[p.name] = readable(kind, f"task {task!r}: parameter {p.name!r}")
            self._accepts[p.name] = accepted(info) if read_as is kind else Accepted({})
        # What the types of the arguments and the names of those by keyword leave to be seen: found out once.
        self._plans: dict[tuple[object, ...], _Plan | None] = {}
        self._decoders: dict[tuple[str, Format], Callable[[msgspec.Raw], Any]] = {}
        self._whole: Callable[[bytes | memoryview], PositionalCall] | None = None

    def type_of(self, parameter: str) -> Any:  # noqa: ANN401 - any annotation
        """Return the type that arguments of this parameter are read as; Any when there is none of that name."""
        return self._types.get(parameter, Any)

    def encode(
        self,
        codec: Codec,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
        timeout_ms: int = 0,
    ) -> bytes:
        """Check the arguments and encode the call; the errors name the argument that does not fit."""
        shape: tuple[object, ...] = tuple(map(type, args))
        if kwargs:
            shape = (shape, *kwargs, *map(type, kwargs.values()))
        try:
            plan = self._plans[shape]
        except KeyError:
            self.parameters.bind(args, kwargs)
            plan = self._plan(args, kwargs)
            if len(self._plans) < _MAX_SHAPES:
                self._plans[shape] = plan
        payload = codec.encode_call(self.task, args, kwargs, headers, timeout_ms, self._positional)
        if plan is not None:
            self._look(plan, args, kwargs, payload)
        return payload

    def _plan(self, args: Sequence[object], kwargs: Mapping[str, object]) -> _Plan | None:
        """Return the checks that calls with arguments of these types still need; None: they fit."""
        untyped: list[int | str] = []
        text_keys: list[int | str] = []
        mixed: list[int | str] = []
        decode = False
        places: list[int | str] = [*range(len(args)), *kwargs]
        for at, value in zip(places, (*args, *kwargs.values()), strict=True):
            parameter = self.parameters.at(at)
            match self._accepts[parameter].need(type(value), self._form):
                case Need.NOTHING:
                    pass
                case Need.UNCHANGED:
                    untyped.append(at)
                case Need.TEXT_KEYS:
                    text_keys.append(at)
                case Need.DECODE:
                    decode = True
                    if has_untyped_parts(self._infos[parameter]):
                        mixed.append(at)
        if not (untyped or text_keys or decode):
            return None
        return _Plan(tuple(untyped), tuple(text_keys), decode, tuple(mixed))

    def _look(
        self, plan: _Plan, args: Sequence[object], kwargs: Mapping[str, object], payload: bytes
    ) -> None:
        """Refuse a call that the worker could not read, or would read as something else."""
        for at in plan.untyped:
            value = args[at] if isinstance(at, int) else kwargs[at]
            if not arrives_unchanged(value, self._form):
                self._refuse_change(at, value)
        decode = plan.decode
        for at in plan.text_keys:
            record = cast("dict[object, object]", args[at] if isinstance(at, int) else kwargs[at])
            if self._form == "json" or not is_flat_record(record):
                decode = decode or not set(map(type, record)) <= _TEXT
                if not arrives_unchanged(record, self._form):
                    self._refuse_change(at, record)
        if decode:
            self._read_back(plan.mixed, args, kwargs, payload)

    def _read_back(
        self,
        mixed: Sequence[int | str],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        payload: bytes,
    ) -> None:
        """Decode the arguments as the worker will, so that a wrong type is refused before anything is stored."""
        if kwargs or self.decode_positional(payload) is None:
            try:
                self.decode(*decode_call(payload))
            except CodecError as error:
                raise ArgumentsError(str(error)) from error
        for at in mixed:
            self._refuse_change(at, args[at] if isinstance(at, int) else kwargs[at])

    def _refuse_change(self, at: int | str, value: object) -> None:
        change = typed_change(self._infos[self.parameters.at(at)], value, self._form)
        if change is not None:
            name = at if isinstance(at, str) else self.parameters.at(at)
            what = f"{change.path} is" if change.path else "is"
            msg = (
                f"task {self.task!r}: argument {name!r}: {what} of type {change.given} and would arrive as "
                f"{change.arrives}: annotate the parameter with the type, or convert it first"
            )
            raise ArgumentsError(msg)

    def encode_result(self, codec: Codec, value: object) -> bytes:
        """Encode what was returned; SerialisationError when it cannot be written, or is not what is declared."""
        if value is None and self._may_be_none:
            return b""
        result = codec.encode_result(self.task, value)
        if self._sound_results is not None and type(value) not in self._sound_results:
            try:
                decode_result(result, self.result_type)
            except CodecError as error:
                msg = (
                    f"task {self.task!r}: its handler returned a {type(value).__name__}, which does not fit what it "
                    f"declares: {error}"
                )
                raise SerialisationError(msg) from error
        return result

    def decode_positional(self, payload: bytes) -> PositionalCall | None:
        """Decode in one step a call that passes each parameter by position: the common case.

        None for any other call, sound or not: `decode` reads it, or says what is wrong with it.
        """
        if self.parameters.needs_names or payload[:1] != PLAIN_HEAD or len(payload) > MAX_VALUES:
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
            self.parameters.bind(call.args, call.kwargs)
        except ArgumentsError as error:
            raise CodecError(str(error)) from error
        parameters = self.parameters
        positional, named = parameters.positional, parameters.by_name
        args: list[Any] = []
        for n, raw in enumerate(call.args):
            args.append(self._read(positional[n] if n < len(positional) else parameters.at(n), raw, name))
        kwargs = {
            key: self._read(key if key in named else parameters.at(key), raw, name, key)
            for key, raw in call.kwargs.items()
        }
        return args, kwargs

    def by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by the names of their parameters, whether they fit or not."""
        return self.parameters.named(args, kwargs)

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

    def _checked(self, what: str, kind: Any) -> msgspec.inspect.Type:  # noqa: ANN401 - any annotation
        """Return what msgspec says of the type; DeclarationError when it cannot be read and written."""
        try:
            info = msgspec.inspect.type_info(kind)
            argument_decoder(kind, self._form)
        except Exception as error:
            msg = f"task {self.task!r}: {what} of a type that the codec does not know: {error}"
            raise DeclarationError(msg) from error
        for part in parts_of(info):
            if isinstance(part, msgspec.inspect.CustomType) and not hasattr(part.cls, "model_validate"):
                msg = (
                    f"task {self.task!r}: {what} a {part.cls.__name__}, which is no data; "
                    "use built-in types, dataclasses, msgspec structs or pydantic models"
                )
                raise DeclarationError(msg)
        return info
