"""What of a job's call is recorded, as its task declares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from headway.app.hiding import without_hidden
from headway.codec import argument_decoder, decode_call
from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.app.task import Task
    from headway.codec import Format
    from headway.job import JobRecord

MAX_ARGUMENTS: Final = 16 * 1024
"""Bytes of the arguments of one job, as JSON, beyond which they are not recorded."""
MAX_HEADERS: Final = 4 * 1024
_FORMS: Final[tuple[Format, ...]] = ("msgpack", "json")
_READERS: Final = {form: argument_decoder(Any, form) for form in _FORMS}


class Call(Struct, frozen=True):
    """The call of a job: its arguments by name, as JSON; None: not recorded. `search`: paths that may be indexed."""

    arguments: dict[str, Any] | None = None
    text: str | None = None
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


def recorded_call(record: JobRecord, tasks: Mapping[str, Task[Any, Any]]) -> Call:
    """Read the call of a job; never raises for what is in it.

    Of a task that is not declared here nothing is known of what is to be hidden: its arguments are not recorded.
    """
    task = tasks.get(record.task)
    tags = () if task is None else task.tags
    try:
        call, form = decode_call(record.payload)
        headers = call.headers if sum(map(len, call.headers.values())) <= MAX_HEADERS else {}
        if task is None:
            return Call(headers=headers, tags=tags)
        read = _READERS[form]
        args = [read(raw) for raw in call.args]
        kwargs = {name: read(raw) for name, raw in call.kwargs.items()}
        named = without_hidden(task.signature.by_name(args, kwargs), task.options_declared.hide)
        encoded = msgspec.json.encode(named)
        if len(encoded) > MAX_ARGUMENTS:
            return Call(headers=headers, tags=tags)
        # Decoded again: what JSON does not have, such as dates, is searched for as it is shown.
        plain = msgspec.json.decode(encoded) if task.options_declared.search else named
        return Call(plain, encoded.decode(), headers, tags, task.options_declared.search)
    except (HeadwayError, ValueError, TypeError, RecursionError, msgspec.MsgspecError):
        return Call(tags=tags)
