"""The headers that callers may set for what is sent to a target. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headway.emulator.errors import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_is_token: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-]+").fullmatch
# What the service computes, and what would change where a request ends or what its connection is for.
_COMPUTED: Final = frozenset(
    {
        "host", "content-length", "user-agent", "transfer-encoding", "connection", "keep-alive", "te", "trailer",
        "upgrade", "expect", "proxy-connection", "proxy-authorization",
    }
)  # fmt: skip
CLOUD_TASKS: Final = ("x-google-", "x-appengine-", "x-cloudtasks-")
CLOUD_SCHEDULER: Final = ("x-google-", "x-appengine-", "x-cloudscheduler")


def keepable(headers: Mapping[str, str], reserved: tuple[str, ...] = CLOUD_TASKS) -> dict[str, str]:
    """Return the headers that a caller may set: the others are replaced by the service.

    An underscore counts as a hyphen, since many frameworks take one for the other.
    """
    return {
        name: value
        for name, value in headers.items()
        if (plain := name.lower().replace("_", "-")) not in _COMPUTED and not plain.startswith(reserved)
    }


def check(headers: Iterable[tuple[str, str]], field: str, *, most_bytes: int | None = None) -> None:
    """INVALID_ARGUMENT when a header cannot be sent, or all of them are too large."""
    size = 0
    for name, value in headers:
        if not _is_token(name) or not value.isprintable():
            refuse(f'{field}: "{name}" is not a header that can be sent.')
        size += len(name) + len(value)
    if most_bytes is not None and size >= most_bytes:
        refuse(f"{field} must be smaller than {most_bytes} bytes.")


def replaced(headers: Mapping[str, str], by: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with these instead of those of the same name, in whatever case that is written."""
    names = {name.lower() for name in by}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(by)
