"""An exception as text, whatever its class does when it is asked: bounded, and never raising.

A class of an application may refuse its text, its notes, its cause or its own name, or answer with texts that are none.
Here only what the interpreter itself keeps of an exception is read; what its class says is asked for once, and guarded.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, Final, cast

from headway.text import MAX_TEXT, exact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_MAX_LINE: Final = 500  # characters of a text that is to stand in one line
_MAX_FRAMES: Final = 1000  # of each exception, the last ones
_MAX_LINKS: Final = 10  # of a chain of causes
_MAX_MEMBERS: Final = 15  # of a group
_MAX_DEPTH: Final = 5  # of groups in groups
_MAX_PARTS: Final = 60  # exceptions in all
_MAX_NOTES: Final = 10
_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"

# Read past the class of an exception, which may have attributes of the same names.
_QUALNAME: Final[Any] = vars(type)["__qualname__"]
_MODULE: Final[Any] = vars(type)["__module__"]
_CAUSE: Final[Any] = vars(BaseException)["__cause__"]
_CONTEXT: Final[Any] = vars(BaseException)["__context__"]
_SUPPRESS: Final[Any] = vars(BaseException)["__suppress_context__"]
_TRACEBACK: Final[Any] = vars(BaseException)["__traceback__"]
_MEMBERS: Final[Any] = vars(BaseExceptionGroup)["exceptions"]


def class_name(kind: type[BaseException]) -> str:
    """Return the name of an exception's class, without its module."""
    return exact(_QUALNAME.__get__(kind))


def type_name(kind: type[BaseException]) -> str:
    """Return the qualified name of an exception's class."""
    name, module = class_name(kind), _MODULE.__get__(kind)
    return f"{exact(module)}.{name}" if issubclass(type(module), str) and module != "builtins" else name


def message_of(error: BaseException, limit: int = MAX_TEXT) -> str:
    """Return the text of an exception, or why it has none."""
    try:
        return exact(str(error), limit)
    except BaseException as broken:  # noqa: BLE001 - also SystemExit: it is the class that raises it, for one text
        return f"(its text cannot be made: {type_name(type(broken))})"


def in_one_line(error: BaseException) -> str:
    """Name an exception in one line, with the beginning of its text."""
    name, text = class_name(type(error)), " ".join(message_of(error, _MAX_LINE).split())
    return f"{name}: {text}" if text else name


def trace_of(error: BaseException) -> str:
    """Return the traceback with causes, notes and the members of groups, as far as they can be read."""
    try:
        return _chain(error, _Budget(), 0)
    except BaseException as broken:  # noqa: BLE001 - memory may be short, above all where that was the error
        return f"(its traceback cannot be made: {type_name(type(broken))})\n"


def because(error: BaseException, cause: BaseException) -> BaseException:
    """Return the error with its cause, which its own class may refuse to take."""
    _CAUSE.__set__(error, cause)
    return error


class _Budget:
    """How many exceptions may still be described, and which were."""

    def __init__(self) -> None:
        self.left = _MAX_PARTS
        self.seen: set[int] = set()

    def takes(self, error: BaseException) -> bool:
        if self.left <= 0 or id(error) in self.seen:
            return False
        self.left -= 1
        self.seen.add(id(error))
        return True


def _chain(error: BaseException, budget: _Budget, depth: int) -> str:
    """Describe an exception behind those that it came from."""
    parts: list[str] = []
    link: BaseException | None = error
    joint = ""
    while link is not None and len(parts) < _MAX_LINKS and budget.takes(link):
        parts.append("".join(_one(link, budget, depth)) + joint)
        if (cause := _CAUSE.__get__(link)) is not None:
            link, joint = cause, _CAUSED
        else:
            link, joint = (None if _SUPPRESS.__get__(link) else _CONTEXT.__get__(link)), _DURING
    return "".join(reversed(parts))


def _one(error: BaseException, budget: _Budget, depth: int) -> Iterator[str]:
    yield from _frames(_TRACEBACK.__get__(error))
    name, text = type_name(type(error)), message_of(error)
    yield f"{name}: {text}\n" if text else f"{name}\n"
    for note in _notes(error):
        yield f"{note}\n"
    if issubclass(type(error), BaseExceptionGroup) and depth < _MAX_DEPTH:
        for number, member in enumerate(_MEMBERS.__get__(error)[:_MAX_MEMBERS], 1):
            yield f"  +---------------- {number} ----------------\n"
            if id(member) not in budget.seen:
                yield "".join(f"  | {line}\n" for line in _chain(member, budget, depth + 1).splitlines())


def _frames(trace: TracebackType | None) -> Iterator[str]:
    if trace is None:
        return
    yield "Traceback (most recent call last):\n"
    try:
        yield from traceback.format_list(traceback.extract_tb(trace, -_MAX_FRAMES))
    except Exception as broken:  # noqa: BLE001 - the loader of a module may do anything when it is asked for its source
        yield f"  (its frames cannot be read: {type_name(type(broken))})\n"


def _notes(error: BaseException) -> list[str]:
    """Return what was added with `add_note`; what the class presents as notes of its own is not asked for."""
    try:
        notes = object.__getattribute__(error, "__dict__").get("__notes__")
    except BaseException:  # noqa: BLE001 - a class may have a `__dict__` of its own
        return []
    if type(notes) is not list:
        return []
    some = cast("list[object]", notes)[:_MAX_NOTES]
    return [exact(cast("str", note), MAX_TEXT) for note in some if issubclass(type(note), str)]
