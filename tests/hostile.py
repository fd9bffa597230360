"""Exceptions to throw at every place of the machinery: each builtin class, and classes that refuse whatever they are asked."""

# Both checkers are right: nothing here is what it should be.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportIncompatibleMethodOverride=false, reportReturnType=false
# mypy: disable-error-code="assignment, type-var, mutable-override, return-value, list-item, override, misc, no-untyped-call"

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
from typing import TYPE_CHECKING, Any, Final, Never, NoReturn

from headway import Discard, RetryLater

if TYPE_CHECKING:
    from collections.abc import Callable


class Refusal(BaseException):
    """What hostile classes raise when they are asked; not an Exception, so that no ordinary guard stops it."""


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise Refusal


class _Refusing:
    """An attribute that raises when it is read."""

    def __get__(self, _owner: Any, _kind: Any = None) -> Never:
        raise Refusal


class _Text(str):
    """A text that is none when it is worked with."""

    __slots__ = ()
    __getitem__ = __len__ = __format__ = __add__ = __eq__ = __hash__ = _refuse
    encode = join = split = splitlines = _refuse


class HostileStr(Exception):  # noqa: N818 - named after what they do
    """Its text ends the process."""

    def __str__(self) -> str:
        raise SystemExit(7)


class NoStr(Exception):  # noqa: N818
    """Its text is no text."""

    def __str__(self) -> str:
        return 3  # noqa: PLE0307


class StrOfItsOwn(Exception):  # noqa: N818
    """Its text refuses to be cut and encoded."""

    def __str__(self) -> str:
        return _Text("text")


class HostileRepr(Exception):  # noqa: N818
    """Refuses to be shown."""

    __repr__ = _refuse


class HostileEq(Exception):  # noqa: N818
    """Refuses to be compared, also with nothing."""

    __eq__ = __ne__ = __bool__ = __len__ = _refuse
    __hash__ = _refuse


class HostileReduce(Exception):  # noqa: N818
    """Refuses to be pickled or copied."""

    __reduce__ = __reduce_ex__ = __getstate__ = __copy__ = __deepcopy__ = _refuse


class HostileNotes(Exception):  # noqa: N818
    """Refuses its notes."""

    __notes__ = property(lambda _: 1 / 0)


class StrangeNotes(Exception):  # noqa: N818
    """Has notes that are none."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.__notes__ = [_Text("note"), 3, None, b"\xff"]


class HostileClass(Exception):  # noqa: N818
    """Refuses to say what it is."""

    __class__ = _Refusing()


class LyingClass(Exception):  # noqa: N818
    """Says that it is a wish of its handler."""

    __class__ = property(lambda _: RetryLater)


class LyingDiscard(Exception):  # noqa: N818
    """Says that it is another wish of its handler."""

    __class__ = property(lambda _: Discard)


class HostileChain(Exception):  # noqa: N818
    """Refuses its cause, its context and its traceback."""

    __cause__ = __context__ = __traceback__ = __suppress_context__ = args = _Refusing()


class HostileAttributes(Exception):  # noqa: N818
    """Refuses every attribute."""

    __getattribute__ = _refuse


class HostileDict(Exception):  # noqa: N818
    """Refuses its dict."""

    __dict__ = _Refusing()


class _Meta(type):
    __hash__ = __eq__ = __repr__ = _refuse

    def __getattribute__(cls, name: str) -> Any:
        if name in {"__name__", "__qualname__", "__module__", "__mro__", "__bases__"}:
            raise Refusal
        return super().__getattribute__(name)


class HostileMeta(Exception, metaclass=_Meta):  # noqa: N818
    """Of a class that refuses its name."""


class HostileLater(RetryLater):
    """A wish that refuses to say how long."""

    delay = _Refusing()

    def __init__(self) -> None:
        Exception.__init__(self)


class HostileDiscard(Discard):
    """A wish whose reason refuses to be a text."""

    reason = _Refusing()

    def __init__(self) -> None:
        Exception.__init__(self)


class Hostile(BaseException):
    """No Exception, and refuses everything at once."""

    __str__ = __repr__ = __eq__ = __hash__ = __reduce__ = __reduce_ex__ = _refuse
    __class__ = __notes__ = __cause__ = __context__ = __traceback__ = _Refusing()


def _cycle() -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    first.__context__, second.__context__ = second, first
    return first


def _long_chain() -> BaseException:
    last: BaseException | None = None
    for number in range(4000):
        error = ValueError(number)
        error.__cause__ = last
        last = error
    assert last is not None
    return last


def _deep_group() -> BaseException:
    error: Exception = ValueError("innermost")
    for _ in range(3000):
        error = ExceptionGroup("deeper", [error])
    return error


def _later(delay: Any) -> BaseException:
    error = RetryLater(1)
    error.delay = delay
    return error


def _with_traceback_of(depth: int) -> BaseException:
    def fall(left: int) -> None:
        if left:
            fall(left - 1)
        else:
            msg = "deep"
            raise ValueError(msg)

    try:
        fall(depth)
    except ValueError as error:
        return error
    raise AssertionError


_SPECIAL: Final[dict[type[BaseException], Callable[[type[BaseException]], BaseException]]] = {
    UnicodeDecodeError: lambda kind: kind("utf-8", b"\xff", 0, 1, "no"),
    UnicodeEncodeError: lambda kind: kind("utf-8", "\udcff", 0, 1, "no"),
    UnicodeTranslateError: lambda kind: kind("\udcff", 0, 1, "no"),
    SyntaxError: lambda kind: kind("no", (b"\xff", 1, 1, b"\xff")),
    BaseExceptionGroup: lambda kind: kind("several", [ValueError("one"), KeyboardInterrupt()]),
    ExceptionGroup: lambda kind: kind("several", [ValueError("one"), KeyError("two")]),
}


def _made(kind: type[BaseException]) -> Callable[[], BaseException]:
    return lambda: _SPECIAL.get(kind, lambda kind: kind("thrown"))(kind)


def _builtin() -> dict[str, Callable[[], BaseException]]:
    kinds = [
        value
        for value in vars(builtins).values()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    return {kind.__name__: _made(kind) for kind in kinds}


OWN: Final = (
    HostileStr, NoStr, StrOfItsOwn, HostileRepr, HostileEq, HostileReduce, HostileNotes, StrangeNotes, HostileClass, LyingClass,
    LyingDiscard, HostileChain, HostileAttributes, HostileDict, HostileMeta, Hostile,
)  # fmt: skip

THROWN: Final[dict[str, Callable[[], BaseException]]] = (
    _builtin()
    | {
        "asyncio.CancelledError": asyncio.CancelledError,
        "asyncio.InvalidStateError": lambda: asyncio.InvalidStateError("thrown"),
        "asyncio.IncompleteReadError": lambda: asyncio.IncompleteReadError(b"", 3),
        "concurrent.CancelledError": concurrent.futures.CancelledError,
        "concurrent.BrokenExecutor": concurrent.futures.BrokenExecutor,
        "HostileLater": HostileLater,
        "HostileDiscard": HostileDiscard,
        "RetryLater of text": lambda: _later("soon"),
        "RetryLater without end": lambda: _later(float("inf")),
        "cycle of causes": _cycle,
        "long chain of causes": _long_chain,
        "deep group": _deep_group,
        "wide group": lambda: ExceptionGroup("wide", [ValueError(number) for number in range(4000)]),
        "group of the hostile": lambda: ExceptionGroup(
            "hostile", [kind() for kind in OWN if issubclass(kind, Exception)]
        ),
        "huge text": lambda: ValueError("x" * 10_000_000),
        "text without encoding": lambda: OSError("bad name: \udcff \0"),
        "deep traceback": lambda: _with_traceback_of(400),
    }
    | {type.__dict__["__qualname__"].__get__(kind): kind for kind in OWN}
)
"""What is thrown, by name: each call makes a new one."""
