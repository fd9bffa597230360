"""What holds for the fields of every request, whatever the operation: values that are none of their type are refused.

Protobuf takes any number for an enum, and durations and instants that no calendar has. So each request is looked
through once, before anything reads it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from headway.emulator.errors import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headway.emulator.wire import Message

_LONGEST_S: Final = 315_576_000_000  # 10,000 years, as protobuf defines it
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # the years 1 to 9999
_SECOND_NS: Final = 1_000_000_000


def check(message: Message) -> None:
    """INVALID_ARGUMENT names the first field whose value is none of its type."""
    for field, value in message.ListFields():
        look = _look_of(field)
        if look is not None:
            for part in _parts(field, value):
                look(field, part)


def _look_of(field: Message) -> Callable[[Message, Message], None] | None:
    """Return what looks at the values of a field; None: whatever protobuf has read is right."""
    if field.enum_type is not None:
        return _check_enum
    if field.message_type is not None:
        return _CALENDAR.get(field.message_type.full_name, _check_message)
    return _check_number if field.cpp_type in {field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT} else None


def _parts(field: Message, value: Message) -> Iterator[Message]:
    if not field.is_repeated:
        yield value
    elif field.message_type is None or not field.message_type.GetOptions().map_entry:
        yield from value
    elif field.message_type.fields_by_name["value"].message_type is not None:
        yield from value.values()


def _check_message(_field: Message, value: Message) -> None:
    check(value)


def _check_enum(field: Message, value: int) -> None:
    if value not in field.enum_type.values_by_number:
        refuse(f"{_name(field)} must be one of {field.enum_type.name}, got {value}.")


def _check_number(field: Message, value: float) -> None:
    if not math.isfinite(value):
        refuse(f"{_name(field)} must be a finite number, got {value}.")


def _check_duration(field: Message, value: Message) -> None:
    seconds, nanos = value.seconds, value.nanos
    if abs(seconds) > _LONGEST_S or abs(nanos) >= _SECOND_NS or seconds * nanos < 0:
        refuse(f"{_name(field)} is not a valid duration: {seconds} s and {nanos} ns.")


def _check_instant(field: Message, value: Message) -> None:
    if not (_FIRST_S <= value.seconds <= _LAST_S and 0 <= value.nanos < _SECOND_NS):
        refuse(f"{_name(field)} is not a valid timestamp: {value.seconds} s and {value.nanos} ns since 1970.")


def _name(field: Message) -> str:
    return f"{field.containing_type.name}.{field.name}"


_CALENDAR: Final = {"google.protobuf.Duration": _check_duration, "google.protobuf.Timestamp": _check_instant}
